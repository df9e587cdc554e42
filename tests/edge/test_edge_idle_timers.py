"""Idle timers: many callbacks by one timer of the loop."""

import asyncio
import logging

import uvloop

from bridge.web.idle_timers import IdleTimers
from virtual_loop import virtually


class Viewer:
    """As much of a viewer as a timer looks at."""

    written_at = 0.0


def now():
    return round(asyncio.get_running_loop().time(), 3)


@virtually
async def test_each_timer_fires_at_its_own_interval_until_it_is_stopped():
    idle_timers, calls = IdleTimers(), []
    begun = now()
    for name, interval in (("slow", 25), ("quick", 10), ("never", 0)):
        idle_timers.start(interval, lambda name=name: calls.append((name, now() - begun)))
    stopped = idle_timers.start(10, lambda: calls.append("stopped"))
    stopped.stop()
    stopped.stop()
    await asyncio.sleep(31)
    assert calls == [("quick", 10), ("quick", 20), ("slow", 25), ("quick", 30)]
    idle_timers.stop()
    await asyncio.sleep(100)
    assert len(calls) == 4


@virtually
async def test_a_timer_with_a_viewer_fires_when_nothing_was_written_for_its_interval():
    idle_timers, calls, viewer = IdleTimers(), [], Viewer()
    begun = viewer.written_at = now()
    idle_timers.start(15, lambda: calls.append(now() - begun), unless_written=viewer)
    await asyncio.sleep(9)
    viewer.written_at = now()
    await asyncio.sleep(14)
    assert not calls
    await asyncio.sleep(2)
    assert calls == [24]
    idle_timers.stop()


@virtually
async def test_a_timer_that_is_due_before_all_others_fires_in_time():
    idle_timers, calls = IdleTimers(), []
    idle_timers.start(60, lambda: calls.append("late"))
    idle_timers.start(1, lambda: calls.append("soon"))
    await asyncio.sleep(1.5)
    assert calls == ["soon"]
    idle_timers.stop()


@virtually
async def test_a_callback_may_stop_its_own_timer_and_all_others(caplog):
    idle_timers, calls, made = IdleTimers(), [], []

    def stop_all():
        calls.append(1)
        for timer in made:
            timer.stop()

    made.extend(idle_timers.start(1, stop_all) for _ in range(500))
    await asyncio.sleep(5)
    assert calls == [1]
    assert not caplog.records
    last = idle_timers.start(1, lambda: calls.append(2))
    await asyncio.sleep(2.5)
    assert calls == [1, 2, 2]
    last.stop()


@virtually
async def test_a_callback_that_fails_is_logged_and_called_no_more(caplog):
    caplog.set_level(logging.ERROR)
    idle_timers, calls = IdleTimers(), []
    idle_timers.start(1, lambda: 1 / 0)
    idle_timers.start(1, lambda: calls.append(1))
    await asyncio.sleep(3.5)
    assert calls == [1, 1, 1]
    assert len(caplog.records) == 1
    idle_timers.stop()


@virtually
async def test_stopped_timers_are_discarded_long_before_they_are_due():
    idle_timers = IdleTimers()
    kept = [idle_timers.start(3600, print) for _ in range(10)]
    for _ in range(10_000):
        idle_timers.start(3600, print).stop()
    assert len(idle_timers._due) < 200
    for timer in kept:
        assert not timer.stopped
    idle_timers.stop()


def test_a_timer_may_start_while_another_is_all_but_due():
    """uvloop then has no timer but a handle, which knows no time."""

    async def run():
        idle_timers, calls = IdleTimers(), []
        idle_timers.start(0.0001, lambda: calls.append("soon"))
        idle_timers.start(0.01, lambda: calls.append("late"))
        await asyncio.sleep(0.05)
        idle_timers.stop()
        assert {"soon", "late"} <= set(calls)

    uvloop.run(run())
