"""Hearts: many that beat by one timer."""

import asyncio
import logging

import uvloop

from bridge.web.idle_timers import IdleTimers
from virtual_loop import virtually


class Somebody:
    """Who is written to."""

    written_at = 0.0


def now():
    return round(asyncio.get_running_loop().time(), 3)


@virtually
async def test_each_beats_at_its_own_pace_until_it_is_stopped():
    idle_timers, beats = IdleTimers(), []
    begun = now()
    for name, interval in (("slow", 25), ("quick", 10), ("never", 0)):
        idle_timers.heart(
            interval=interval, beat=lambda name=name: beats.append((name, now() - begun))
        )
    stopped = idle_timers.heart(interval=10, beat=lambda: beats.append("stopped"))
    stopped.stop()
    stopped.stop()
    await asyncio.sleep(31)
    assert beats == [("quick", 10), ("quick", 20), ("slow", 25), ("quick", 30)]
    idle_timers.stop()
    await asyncio.sleep(100)
    assert len(beats) == 4


@virtually
async def test_it_beats_when_nothing_was_written_for_its_interval():
    idle_timers, beats, viewer = IdleTimers(), [], Somebody()
    begun = viewer.written_at = now()
    idle_timers.heart(interval=15, beat=lambda: beats.append(now() - begun), silent=viewer)
    await asyncio.sleep(9)
    viewer.written_at = now()
    await asyncio.sleep(14)
    assert not beats
    await asyncio.sleep(2)
    assert beats == [24]
    idle_timers.stop()


@virtually
async def test_one_that_is_due_before_all_others_is_not_kept_waiting():
    idle_timers, beats = IdleTimers(), []
    idle_timers.heart(interval=60, beat=lambda: beats.append("late"))
    idle_timers.heart(interval=1, beat=lambda: beats.append("soon"))
    await asyncio.sleep(1.5)
    assert beats == ["soon"]
    idle_timers.stop()


@virtually
async def test_one_may_stop_itself_and_all_others(caplog):
    idle_timers, beats, made = IdleTimers(), [], []

    def stop_all():
        beats.append(1)
        for heart in made:
            heart.stop()

    made.extend(idle_timers.heart(interval=1, beat=stop_all) for _ in range(500))
    await asyncio.sleep(5)
    assert beats == [1]
    assert not caplog.records
    last = idle_timers.heart(interval=1, beat=lambda: beats.append(2))
    await asyncio.sleep(2.5)
    assert beats == [1, 2, 2]
    last.stop()


@virtually
async def test_one_that_breaks_is_told_and_beats_no_more(caplog):
    caplog.set_level(logging.ERROR)
    idle_timers, beats = IdleTimers(), []
    idle_timers.heart(interval=1, beat=lambda: 1 / 0)
    idle_timers.heart(interval=1, beat=lambda: beats.append(1))
    await asyncio.sleep(3.5)
    assert beats == [1, 1, 1]
    assert len(caplog.records) == 1
    idle_timers.stop()


@virtually
async def test_those_who_left_are_forgotten_long_before_they_are_due():
    idle_timers = IdleTimers()
    kept = [idle_timers.heart(interval=3600, beat=print) for _ in range(10)]
    for _ in range(10_000):
        idle_timers.heart(interval=3600, beat=print).stop()
    assert len(idle_timers._due) < 200
    for heart in kept:
        assert not heart.stopped
    idle_timers.stop()


def test_one_may_come_while_another_is_all_but_due():
    """uvloop then has no timer but a handle, which knows no time."""

    async def run():
        idle_timers, beats = IdleTimers(), []
        idle_timers.heart(interval=0.0001, beat=lambda: beats.append("soon"))
        idle_timers.heart(interval=0.01, beat=lambda: beats.append("late"))
        await asyncio.sleep(0.05)
        idle_timers.stop()
        assert {"soon", "late"} <= set(beats)

    uvloop.run(run())
