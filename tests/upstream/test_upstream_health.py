"""The health watch: which changes are reported."""

import asyncio
from types import SimpleNamespace

import pytest
from grpc_health.v1 import health_pb2

from bridge.core.errors import StatusSource
from bridge.upstream.health import HealthWatch, ReplicaHealth
from bridge.upstream.http2.call import CallEnded
from bridge.upstream.http2.status import CallStatus
from waiting import until

SERVES = health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)
NO_SERVICE = CallStatus("UNIMPLEMENTED", "no such service")
BROKEN = CallStatus("UNAVAILABLE", "cut")


class Replica:
    """A pool of one connection, always there; each Watch ends with the next of `ends`.

    A call that ends with BROKEN has said that it serves before.
    """

    def __init__(self, *ends):
        self.ends = list(ends)
        self.losses = asyncio.Semaphore(0)
        self.calls = 0
        self.refused = []

    async def acquire(self):
        if self.refused:
            raise CallEnded(self.refused.pop(0))
        return SimpleNamespace(connection=self)

    def release(self, pooled):
        assert pooled.connection is self

    usable = True

    async def wait_ended(self):
        await self.losses.acquire()

    def start_call(self, path, message, metadata):
        self.calls += 1
        return Call(self.ends.pop(0) if self.ends else NO_SERVICE)


class Call:
    def __init__(self, end):
        self.end = end
        self.answers = [SERVES.SerializeToString()] if end is BROKEN else []

    async def read(self):
        if self.answers:
            return self.answers.pop()
        if self.end is None:
            await asyncio.Event().wait()
        raise CallEnded(self.end)

    def cancel(self):
        pass


@pytest.fixture
async def watch():
    tasks = []

    def watch(replica):
        told = []
        watching = HealthWatch(
            replica,
            on_change=lambda health, cause: told.append((health, cause)),
            warn=told.append,
        )
        tasks.append(asyncio.create_task(watching.run()))
        return told

    yield watch
    for task in tasks:
        task.cancel()


async def test_a_replica_back_before_its_loss_was_reported_is_reported(watch):
    """Or a circuit that opened meanwhile would wait out its time."""
    replica = Replica()
    told = watch(replica)
    await until(lambda: told)
    replica.losses.release()
    await until(lambda: len(told) == 2)
    assert told == [(ReplicaHealth.SERVING, "")] * 2


async def test_serving_again_after_a_broken_watch_is_reported(watch):
    replica = Replica(BROKEN)
    told = watch(replica)
    await until(lambda: len(told) == 2)
    assert replica.calls == 2
    assert told == [(ReplicaHealth.SERVING, "")] * 2


async def test_the_same_answer_is_not_reported_again(watch, monkeypatch):
    monkeypatch.setattr("bridge.upstream.health.RETRY_INTERVAL", 0.01)
    replica = Replica()
    told = watch(replica)
    await until(lambda: replica.calls > 5)
    assert told == [(ReplicaHealth.SERVING, "")], "and a missing health service is no warning"


async def test_a_replica_out_of_reach_is_reported_with_the_cause_and_is_so_once(watch):
    replica = Replica()
    replica.refused = [CallStatus("UNAVAILABLE", "connection refused")] * 3
    told = watch(replica)
    await until(lambda: len(told) == 2)
    assert told == [
        (ReplicaHealth.UNREACHABLE, "connection refused"),
        (ReplicaHealth.SERVING, ""),
    ]


@pytest.mark.parametrize(
    ("status", "named"),
    [
        (CallStatus("UNAUTHENTICATED", "secret"), "UNAUTHENTICATED"),
        (CallStatus("PERMISSION_DENIED", "secret"), "PERMISSION_DENIED"),
        (
            CallStatus("UNIMPLEMENTED", "HTTP status 404", source=StatusSource.RESPONSE),
            "HTTP status 404",
        ),
    ],
)
async def test_health_that_can_not_be_read_is_serving_with_a_word(watch, status, named):
    told = watch(Replica(status))
    await until(lambda: len(told) == 2)
    assert told == [
        f"its health can't be read ({named}): it counts as serving",
        (ReplicaHealth.SERVING, ""),
    ]


async def test_health_that_does_not_answer_is_serving_with_a_word(watch, monkeypatch):
    monkeypatch.setattr("bridge.upstream.health.ANSWER_TIMEOUT", 0.01)
    told = watch(Replica(None))
    await until(lambda: len(told) == 2)
    assert told == [
        "its health service does not answer: it counts as serving",
        (ReplicaHealth.SERVING, ""),
    ]
