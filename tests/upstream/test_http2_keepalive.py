"""When a ping is sent, and when a peer counts as gone, on a fake clock."""

import itertools

import pytest
from upstream_tier import FakeTime

from bridge.upstream.http2.keepalive import KEEPALIVE, Keepalive, KeepaliveTimer


class Loop(FakeTime):
    """The part of an event loop that the timer uses."""

    def time(self):
        return self.now

    def call_later(self, delay, call, *args):
        timer = Timer(lambda: call(*args))
        self.later(delay, timer)
        return timer


class Timer:
    def __init__(self, call):
        self._call = call

    def __call__(self):
        self._call()

    def cancel(self):
        self._call = lambda: None


class Peer:
    def __init__(self, loop, keepalive):
        self.loop = loop
        self.last_received = loop.now
        self.has_calls = True
        self.pings = []
        self.gone_at = None
        self.timer = KeepaliveTimer(
            keepalive,
            last_received=lambda: self.last_received,
            has_calls=lambda: self.has_calls,
            ping=lambda: self.pings.append(loop.now),
            on_timeout=lambda: setattr(self, "gone_at", loop.now),
        )
        self.timer.start()


@pytest.fixture
def loop(monkeypatch):
    loop = Loop()
    monkeypatch.setattr("asyncio.get_running_loop", lambda: loop)
    return loop


@pytest.fixture
def peer(loop):
    return Peer(loop, Keepalive(ping_after=10, timeout=5))


def test_a_silent_peer_is_gone_15_s_after_its_last_byte(peer):
    peer.loop.advance(4)
    peer.last_received = peer.loop.now
    peer.loop.advance(9.9)
    assert not peer.pings
    peer.loop.advance(5.2)
    assert peer.pings == [1014.0]
    assert peer.gone_at == 1019.0
    peer.loop.advance(100)
    assert len(peer.pings) == 1


@pytest.mark.parametrize("stopped_at", [0.01, 3.0, 9.99, 10.01, 13.0, 14.5, 19.9, 20.1])
def test_in_fast_mode_a_peer_is_gone_14_s_after_it_stopped_and_pings_are_10_s_apart(
    loop, stopped_at
):
    peer = Peer(loop, KEEPALIVE["fast"])
    while loop.now < 1000 + stopped_at:  # as long as it runs, it answers within 10 ms
        loop.advance(0.01)
        if peer.pings and peer.pings[-1] > peer.last_received:
            peer.last_received = loop.now
    loop.advance(30)
    assert peer.gone_at - (1000 + stopped_at) <= 14.1
    assert all(b - a >= 10 for a, b in itertools.pairwise(peer.pings))


def test_any_received_byte_is_an_answer(peer):
    for _ in range(5):
        peer.loop.advance(12)
        peer.last_received = peer.loop.now
        peer.loop.advance(2)
    assert peer.gone_at is None
    assert all(b - a >= 10 for a, b in itertools.pairwise(peer.pings))


def test_no_ping_is_sent_while_there_is_traffic_nor_without_calls(peer):
    for _ in range(100):
        peer.loop.advance(1)
        peer.last_received = peer.loop.now
    assert not peer.pings
    peer.has_calls = False
    peer.loop.advance(100)
    assert not peer.pings
    assert peer.gone_at is None
    peer.has_calls = True
    peer.loop.advance(10)
    assert len(peer.pings) == 1


def test_a_stopped_timer_sends_no_ping(peer):
    peer.timer.stop()
    peer.timer.stop()
    peer.loop.advance(100)
    assert not peer.pings
    assert peer.gone_at is None
