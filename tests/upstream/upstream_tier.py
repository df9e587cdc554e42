"""Replicas for the upstream tests: the scripted tier, with the server options a test needs."""

import asyncio

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from bridge.core.query import LiveQuery, SortKey
from bridge.live.backend import Identity
from bridge.upstream.health import SERVICE
from livequery.v1 import livequery_pb2_grpc
from scripted_tier import ScriptedTier

QUERY = LiveQuery("flights", (), (SortKey("est_dep", desc=False),), 3)
NOBODY = Identity()
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class _TakenError(Exception):
    """Carries one message out of a handler."""


async def read(sub):
    """Take the next message of a subscription; None at its end."""

    def take(message):
        raise _TakenError(message)

    try:
        await sub.follow(take)
    except _TakenError as taken:
        return taken.args[0]
    return None


class Replica(ScriptedTier):
    """A scripted tier; `started=True` answers every Subscribe with `started` alone."""

    def __init__(self, *, started=True, healthy=None, host="127.0.0.1") -> None:
        super().__init__()
        self.started = started
        self.host = host
        self.health = health.aio.HealthServicer() if healthy is not None else None
        self.healthy = healthy
        self.peers = []
        self.names = []
        self.reanchor_metadata = {}
        self.refusal = None

    async def start(self, port=0, *, options=(), credentials=None, where=None):
        self._server = grpc.aio.server(
            options=(
                ("grpc.so_reuseport", 0),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_receive_message_length", -1),
                *options,
            )
        )
        livequery_pb2_grpc.add_LiveQueryServiceServicer_to_server(self, self._server)
        if self.health is not None:
            health_pb2_grpc.add_HealthServicer_to_server(self.health, self._server)
            for service, status in self.healthy.items():
                await self.health.set(service, status)
        where = where or f"{self.host}:{port}"
        if credentials is None:
            self.port = self._server.add_insecure_port(where)
        else:
            self.port = self._server.add_secure_port(where, credentials)
        await self._server.start()
        self.address = where if where.startswith("unix:") else f"{self.host}:{self.port}"
        return self

    async def say(self, status, service=SERVICE):
        await self.health.set(service, status)

    async def Subscribe(self, request, context):  # noqa: N802 - the service says so
        self.peers.append(context.peer())
        self.names.append(context.auth_context().get("x509_common_name", [b""])[0].decode())
        if self.refusal is not None:
            await context.abort_with_status(self.refusal.status)
        stream = super().Subscribe(request, context)
        if self.started:
            asyncio.get_running_loop().call_soon(self._begin)
        async for response in stream:
            yield response

    async def Reanchor(self, request, context):  # noqa: N802 - the service says so
        self.reanchor_metadata = dict(context.invocation_metadata())
        return await super().Reanchor(request, context)

    def _begin(self):
        call = self.calls.get_nowait()
        call.start()


class FakeTime:
    """A clock that the test advances, with timers."""

    def __init__(self):
        self.now = 1000.0
        self._due = []

    def __call__(self):
        return self.now

    def later(self, delay, call):
        self._due.append((self.now + delay, call))

    def advance(self, seconds):
        end = self.now + seconds
        while due := [item for item in self._due if item[0] <= end]:
            first = min(due, key=lambda item: item[0])
            self._due.remove(first)
            self.now = max(self.now, first[0])
            first[1]()
        self.now = end
