"""A replica that punishes pings: the interval is doubled until it accepts them (gRFC A8)."""

import itertools
import logging

import pytest
from h2_peer import Pair
from hyperframe.frame import GoAwayFrame
from test_http2_keepalive import Loop

from bridge.upstream.http2.keepalive import KEEPALIVE, Keepalive, KeepaliveTimer
from bridge.upstream.http2.peer import MAX_PING_AFTER, TOO_MANY_PINGS, Peer

ENHANCE_YOUR_CALM = 11
FAST = KEEPALIVE["fast"]
LEAST, STRIKES = 300.0, 2
"""What a stock grpc-go server allows: a ping every so many seconds, and so many others."""


@pytest.fixture
def loop(monkeypatch):
    loop = Loop()
    monkeypatch.setattr("asyncio.get_running_loop", lambda: loop)
    return loop


class Replica:
    """A stock server with one idle connection at a time, by the bridge's own timer."""

    def __init__(self, loop):
        self.loop, self.peer = loop, Peer("tier:1", FAST)
        self.connected_with = []
        self.pings = []
        self._connect()

    def _connect(self):
        self._used, self._strikes, self._pinged_at = self.peer.keepalive, 0, self.loop.now
        self._last_received = self.loop.now
        self.connected_with.append(self._used.ping_after)
        self._timer = KeepaliveTimer(
            self._used,
            last_received=lambda: self._last_received,
            has_calls=lambda: True,
            ping=self._on_ping,
            on_timeout=lambda: pytest.fail("it answers every ping"),
        )
        self._timer.start()

    def _on_ping(self):
        self.pings.append(self.loop.now)
        self._strikes += self.loop.now - self._pinged_at < LEAST
        self._last_received = self._pinged_at = self.loop.now
        if self._strikes > STRIKES:
            self.loop.later(0.01, self._end)

    def _end(self):
        self._timer.stop()
        self.peer.on_goaway(ENHANCE_YOUR_CALM, TOO_MANY_PINGS, self._used)
        self._connect()


def test_the_interval_doubles_until_the_replica_accepts_it_and_one_line_says_so(loop, caplog):
    replica = Replica(loop)
    loop.advance(24 * 3600)
    assert replica.connected_with == [10, 20, 40, 80, 160, 320]
    assert replica.peer.keepalive == Keepalive(ping_after=320, timeout=FAST.timeout)
    accepted = replica.pings[-200:]
    assert all(b - a == pytest.approx(320) for a, b in itertools.pairwise(accepted))
    [line] = caplog.messages
    assert line.startswith(
        "tier tier:1: it ends connections with HTTP/2 error 11, 'too_many_pings'"
    )


def test_connections_that_are_punished_at_once_double_it_once():
    peer = Peer("tier:1", FAST)
    for _ in range(10):
        peer.on_goaway(ENHANCE_YOUR_CALM, TOO_MANY_PINGS, FAST)
    assert peer.keepalive.ping_after == 20
    peer.on_goaway(ENHANCE_YOUR_CALM, TOO_MANY_PINGS, Keepalive(ping_after=20, timeout=4))
    peer.on_goaway(ENHANCE_YOUR_CALM, TOO_MANY_PINGS, FAST)  # one that was made before
    assert peer.keepalive.ping_after == 40, "pings only get rarer"


def test_the_interval_has_a_bound():
    peer = Peer("tier:1", FAST)
    for _ in range(50):
        peer.on_goaway(ENHANCE_YOUR_CALM, TOO_MANY_PINGS, peer.keepalive)
    assert peer.keepalive.ping_after == MAX_PING_AFTER


@pytest.mark.parametrize(
    ("error", "said"), [(ENHANCE_YOUR_CALM, b"too_many_resets"), (2, b""), (1, b"\xff" * 5000)]
)
def test_an_end_for_another_reason_leaves_the_interval_as_it_is(error, said, caplog):
    peer = Peer("tier:1", FAST)
    for _ in range(3):
        peer.on_goaway(error, said, FAST)
    assert peer.keepalive is FAST
    [line] = caplog.messages
    assert len(line) < 1000


async def test_the_goaway_of_a_connection_is_what_doubles_it(caplog):
    caplog.set_level(logging.WARNING)
    pair = Pair()
    pair.answered()
    before = pair.peer.keepalive.ping_after
    pair.raw(
        GoAwayFrame(
            0, last_stream_id=1, error_code=ENHANCE_YOUR_CALM, additional_data=TOO_MANY_PINGS
        )
    )
    assert pair.peer.keepalive.ping_after == 2 * before
    assert "too_many_pings" in caplog.text
