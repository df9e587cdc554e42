"""When a busy connection is read, on a fake clock."""

import asyncio

import pytest
from h2_peer import PATH, ok
from test_http2_connection import NEVER, RawServer

from bridge.upstream.http2.dialer import Dialer
from bridge.upstream.http2.gather_interval import EASY, MEMORY, PRESSED, GatherInterval
from bridge.upstream.http2.peer import Peer
from bridge.upstream.http2.read_coalescing import BUSY_RATE, FULL_READ, ReadCoalescing
from patience import patiently
from waiting import until


class FakeLoop:
    """A clock and a transport."""

    def __init__(self):
        self.now = 100.0
        self.paused = False
        self.due = []

    def time(self):
        return self.now

    def call_at(self, when, callback):
        self.due.append((when, callback))

    def pause_reading(self):
        assert not self.paused
        self.paused = True

    def resume_reading(self):
        self.paused = False

    def until(self, when):
        while self.due and self.due[0][0] <= when:
            at, callback = self.due.pop(0)
            self.now = at
            callback()
        self.now = when


def pressed(loop, ceiling=0.004):
    """The interval of a process that has no time left."""
    interval = GatherInterval(ceiling, cpu_time=loop.time)
    loop.now -= MEMORY
    interval.at(loop.now)
    loop.now += MEMORY
    interval.at(loop.now)
    return interval


def settled(load_at, ceiling=0.004, seconds=20):
    """The intervals of a process whose load depends on them: those of the last seconds."""
    now, cpu, seen = 0.0, 0.0, []
    interval = GatherInterval(ceiling, cpu_time=lambda: cpu)
    while now < seconds:
        seen.append((now, interval.at(now)))
        now += 0.005
        cpu += 0.005 * load_at(seen[-1][1])
    return {one for at, one in seen if at > seconds / 2}


@pytest.mark.parametrize(
    ("load", "interval"),
    [(0.0, 0.0), (EASY, 0.0), (PRESSED + 0.01, 0.004), (1.0, 0.004), ((EASY + PRESSED) / 2, 0.002)],
)
def test_reads_are_apart_as_far_as_the_process_is_pressed(load, interval):
    [seen] = settled(lambda _: load)
    assert seen == pytest.approx(interval, abs=0.0005)


@pytest.mark.parametrize("base", [0.16, 0.2, 0.25, 0.28, 0.32, 0.36, 0.4, 0.45, 0.5, 0.6, 0.8])
@pytest.mark.parametrize("saved", [0.0, 0.1, 0.25, 0.4])
def test_what_gathering_saves_does_not_make_it_swing(base, saved):
    intervals = settled(lambda interval: base * (1 - saved * interval / 0.004))
    assert len(intervals) == 1


def test_a_ceiling_below_what_a_wait_saves_is_kept_when_pressed():
    assert settled(lambda _: 1.0, ceiling=0.001) == {0.001}


def test_a_connection_with_few_messages_is_read_at_once():
    loop = FakeLoop()
    coalescing = ReadCoalescing(pressed(loop), loop)
    for _ in range(50):
        loop.now += 1.5 / BUSY_RATE
        coalescing.on_read(loop, 1, loop.now)
        assert not loop.paused


def test_a_busy_connection_is_read_at_multiples_of_the_interval_until_it_is_no_longer_busy():
    loop = FakeLoop()
    coalescing = ReadCoalescing(pressed(loop), loop)
    loop.now = 100.0001
    coalescing.on_read(loop, 1, loop.now)
    loop.now = 100.0005
    coalescing.on_read(loop, 1, loop.now)
    for n in range(1, 10):
        assert loop.paused
        [(when, _)] = loop.due
        assert when == pytest.approx(100 + 0.004 * n)
        loop.until(when)
        assert not loop.paused
        coalescing.on_read(loop, 5, loop.now)
    loop.until(100.5)
    coalescing.on_read(loop, 1, loop.now)
    assert not loop.paused


def test_a_flooded_connection_is_read_without_a_pause():
    loop = FakeLoop()
    coalescing = ReadCoalescing(pressed(loop), loop)
    for _ in range(10):
        loop.now += 0.0001
        coalescing.on_read(loop, FULL_READ, loop.now)
        assert not loop.paused


def test_an_interval_of_0_turns_it_off():
    loop = FakeLoop()
    coalescing = ReadCoalescing(pressed(loop, 0.0), loop)
    for _ in range(10):
        loop.now += 0.0001
        coalescing.on_read(loop, 3, loop.now)
    assert not loop.paused


async def test_coalesced_messages_arrive_all_and_in_order_with_fewer_reads():
    async def play(read_interval):
        async with RawServer() as server:
            loop = asyncio.get_running_loop()
            # So busy that it is pressed as soon as it looks.
            dialer = Dialer(read_interval=read_interval, cpu_time=lambda: 1000 * loop.time())
            connection = dialer.dial(server.address, Peer("tier", NEVER))
            await connection.wait_ready()
            call = connection.start_call(PATH, b"ask", ())
            (link,) = server.links
            await until(lambda: link.streams)
            taken, turns = [], [0]

            def take(message):
                taken.append((turns[-1], message))
                loop.call_soon(lambda: turns.append(turns[-1] + 1))

            following = asyncio.create_task(call.follow(take))
            wanted = [b"%d" % n for n in range(600)]
            for message in wanted:
                link.say(1, message)
                await asyncio.sleep(0.0003)
            link.h2.send_headers(1, ok(), end_stream=True)
            link.flush()
            async with patiently(5):
                await following
            await connection.close()
            assert [message for _, message in taken] == wanted
            return len({turn for turn, _ in taken})

    assert await play(0.02) < await play(0) / 2
