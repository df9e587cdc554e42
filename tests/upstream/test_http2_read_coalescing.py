"""When a busy connection is read, on a clock that the test winds."""

import asyncio

import pytest
from h2_peer import PATH, ok
from test_http2_connection import NEVER, RawServer

from bridge.upstream.http2.dialer import Dialer
from bridge.upstream.http2.read_coalescing import BUSY, FULL, ReadCoalescing
from waiting import until


class Wound:
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


def test_a_connection_that_says_something_now_and_then_is_read_at_once():
    wound = Wound()
    gather = ReadCoalescing(0.004, wound)
    for _ in range(50):
        wound.now += 1.5 / BUSY
        gather.read(wound, 1)
        assert not wound.paused


def test_a_busy_one_is_read_at_moments_that_all_share_and_at_once_when_it_calms_down():
    wound = Wound()
    gather = ReadCoalescing(0.004, wound)
    wound.now = 100.0001
    gather.read(wound, 1)
    wound.now = 100.0005
    gather.read(wound, 1)
    for n in range(1, 10):
        assert wound.paused
        [(when, _)] = wound.due
        assert when == pytest.approx(100 + 0.004 * n)
        wound.until(when)
        assert not wound.paused
        gather.read(wound, 5)
    wound.until(100.5)
    gather.read(wound, 1)
    assert not wound.paused


def test_one_that_is_flooded_is_read_on():
    wound = Wound()
    gather = ReadCoalescing(0.004, wound)
    for _ in range(10):
        wound.now += 0.0001
        gather.read(wound, FULL)
        assert not wound.paused


def test_it_can_be_switched_off():
    wound = Wound()
    gather = ReadCoalescing(0.0, wound)
    for _ in range(10):
        wound.now += 0.0001
        gather.read(wound, 3)
    assert not wound.paused


async def test_what_is_gathered_is_all_there_in_order_and_fewer_reads():
    async def play(gather):
        async with RawServer() as server:
            connection = Dialer(keepalive=NEVER, gather=gather).dial(server.place)
            await connection.ready()
            call = connection.call(PATH, b"ask", ())
            (link,) = server.links
            await until(lambda: link.streams)
            taken, reads = [], []
            feed = connection._feed
            connection._feed = lambda data: reads.append(1) or feed(data)
            following = asyncio.create_task(call.follow(taken.append))
            wanted = [b"%d" % n for n in range(400)]
            for message in wanted:
                link.say(1, message)
                await asyncio.sleep(0.0003)
            link.h2.send_headers(1, ok(), end_stream=True)
            link.flush()
            async with asyncio.timeout(5):
                await following
            await connection.close()
            assert taken == wanted
            return len(reads)

    assert await play(0.02) < await play(0) / 2
