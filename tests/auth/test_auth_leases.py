"""Streams of one credential share its lease: each is warned and ended once, and none after it left."""

import pytest

from bridge.live.backend import Identity
from bridge.web.auth.credential import Credential
from bridge.web.auth.credential_watch import CredentialWatch


class Stream:
    def __init__(self, told=lambda: None):
        self.ended, self.warned = [], []
        self._told = told

    def on_credential_ended(self, failure):
        self.ended.append(failure.message)
        self._told()

    def on_credential_expiring(self, expires_at):
        self.warned.append(expires_at)
        self._told()


class Watch:
    """A credential watch that looks when its test says so, by the test's clock."""

    def __init__(self):
        self.now = 0.0
        self.real = real = CredentialWatch(lambda: self.now)
        self.hold, self.stop = real.hold, real.stop
        self.end_revoked, self.last_end = real.end_revoked, real.last_end

    def look(self, now):
        self.now = now
        self.real._tick()


@pytest.fixture
async def watch():
    watch = Watch()
    yield watch
    watch.stop()


def credential(expires_at=1000.0, **claims):
    return Credential(Identity(), claims, expires_at, expires_at + 10)


async def test_streams_of_one_credential_share_a_lease_and_each_is_told_once(watch):
    held, streams = credential(), [Stream() for _ in range(3)]
    leases = {watch.hold(held, stream) for stream in streams}
    assert len(leases) == 1
    assert watch.hold(credential(), Stream()) not in leases, "another one's is another lease"
    leases.pop().release(streams[1])
    watch.look(969.0)
    assert not streams[0].warned
    for now in (971.0, 972.0):
        watch.look(now)
        assert [stream.warned for stream in streams] == [[1000.0], [], [1000.0]]
    watch.look(1009.0)
    assert not streams[0].ended
    for now in (1010.0, 1011.0):
        watch.look(now)
        assert [len(stream.ended) for stream in streams] == [1, 0, 1]


async def test_who_comes_after_the_warning_is_warned_too(watch):
    held, early, late = credential(), Stream(), Stream()
    watch.hold(held, early)
    watch.look(980.0)
    watch.hold(held, late)
    watch.look(989.0)
    assert (early.warned, late.warned) == ([1000.0], [])
    watch.look(990.5)
    assert (early.warned, late.warned) == ([1000.0], [1000.0])
    watch.look(1010.0)
    assert len(early.ended) == len(late.ended) == 1


async def test_a_revocation_ends_all_streams_of_the_credentials_it_means_and_counts_them(watch):
    mine, other = [Stream() for _ in range(3)], Stream()
    held = credential(sub="me")
    for stream in mine:
        watch.hold(held, stream)
    watch.hold(credential(sub="you"), other)
    assert watch.last_end(lambda claims: claims["sub"] == "me") == 1010.0
    assert watch.end_revoked(lambda claims: claims["sub"] == "me") == 3
    assert [len(stream.ended) for stream in [*mine, other]] == [1, 1, 1, 0]
    assert watch.end_revoked(lambda claims: claims["sub"] == "me") == 0


async def test_a_stream_released_while_others_are_told_is_not_told(watch):
    held, last = credential(sub="me"), Stream()
    first = Stream(told=lambda: lease.release(last))
    lease = watch.hold(held, first)
    watch.hold(held, last)
    watch.look(971.0)
    watch.look(1010.0)
    assert (first.warned, len(first.ended)) == ([1000.0], 1)
    assert (last.warned, last.ended) == ([], [])


async def test_a_credential_that_nobody_holds_is_forgotten(watch):
    held, stream = credential(sub="me"), Stream()
    watch.hold(held, stream).release(stream)
    watch.hold(held, stream).release(stream)
    assert watch.last_end(lambda _: True) is None
    assert not watch.real._open
    assert watch.hold(Credential(Identity()), stream) is None, (
        "one that nobody verified is not held"
    )
