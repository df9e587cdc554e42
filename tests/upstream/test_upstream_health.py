"""The health watch: which changes are reported."""

import asyncio

import grpc
import pytest
from grpc_health.v1 import health_pb2

from bridge.upstream.health import HealthWatch, ReplicaHealth
from waiting import until

SERVES = health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)


class Channel:
    """Always ready. Its replica has no health service, or says that it serves and breaks the call."""

    def __init__(self, *codes) -> None:
        self.codes = list(codes)
        self.losses = asyncio.Semaphore(0)
        self.calls = 0

    def get_state(self, *, try_to_connect):
        assert try_to_connect
        return grpc.ChannelConnectivity.READY

    async def wait_for_state_change(self, state):
        assert state is grpc.ChannelConnectivity.READY
        await self.losses.acquire()

    def unary_stream(self, *_, **__):
        self.calls += 1
        code = self.codes.pop(0) if self.codes else grpc.StatusCode.UNIMPLEMENTED
        return lambda _: Call(code)


class Call:
    def __init__(self, code) -> None:
        self.code = code
        self.answers = [SERVES] if code is grpc.StatusCode.UNAVAILABLE else []

    async def read(self):
        if self.answers:
            return self.answers.pop()
        raise grpc.aio.AioRpcError(self.code, grpc.aio.Metadata(), grpc.aio.Metadata())

    def cancel(self):
        pass


@pytest.fixture
async def watch():
    tasks = []

    def watch(channel):
        told = []
        tasks.append(asyncio.create_task(HealthWatch(channel, on_change=told.append).run()))
        return told

    yield watch
    for task in tasks:
        task.cancel()


async def test_a_replica_back_before_its_loss_was_reported_is_reported(watch):
    """Or a circuit that opened meanwhile would wait out its time."""
    channel = Channel()
    told = watch(channel)
    await until(lambda: told)
    channel.losses.release()
    await until(lambda: len(told) == 2)
    assert told == [ReplicaHealth.SERVING] * 2


async def test_serving_again_after_a_broken_watch_is_reported(watch):
    channel = Channel(grpc.StatusCode.UNAVAILABLE)
    told = watch(channel)
    await until(lambda: len(told) == 2)
    assert channel.calls == 2
    assert told == [ReplicaHealth.SERVING] * 2


async def test_the_same_answer_is_not_reported_again(watch, monkeypatch):
    monkeypatch.setattr("bridge.upstream.health.RETRY_INTERVAL", 0.01)
    channel = Channel()
    told = watch(channel)
    await until(lambda: channel.calls > 5)
    assert told == [ReplicaHealth.SERVING]
