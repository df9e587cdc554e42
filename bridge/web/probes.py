"""Probes and metrics: whether the process lives, whether it can serve, what it has counted."""

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from aiohttp import web

_NO_STORE = {"Cache-Control": "no-store"}


@dataclass(frozen=True, slots=True)
class ProbeHandlers:
    """Handlers over what the composition root knows.

    `reasons` returns why the bridge can't serve now, nothing if it can; `replicas` returns the
    state of each replica of the tier, for operators only; `exposition` prints all metrics in
    Prometheus text format 0.0.4.
    """

    reasons: Callable[[], Awaitable[list[str]]]
    replicas: Callable[[], Sequence[dict[str, str | int | bool]]]
    exposition: Callable[[], Awaitable[bytes]]

    async def healthz(self, _: web.Request) -> web.Response:
        """Answer 200 while the process lives."""
        return web.Response(text="ok\n", headers=_NO_STORE)

    async def readyz(self, _: web.Request) -> web.Response:
        """Answer 200 while the bridge can serve, else 503 with the reasons."""
        reasons = await self.reasons()
        return _readiness(reasons, {"ready": not reasons, "reasons": reasons})

    async def readyz_with_replicas(self, _: web.Request) -> web.Response:
        """Answer as `readyz`, with the state of every replica of the tier."""
        reasons = await self.reasons()
        replicas = list(self.replicas())
        return _readiness(reasons, {"ready": not reasons, "reasons": reasons, "tier": replicas})

    async def metrics(self, _: web.Request) -> web.Response:
        """Answer with all metrics."""
        return web.Response(
            body=await self.exposition(),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )


def _readiness(reasons: list[str], body: dict[str, object]) -> web.Response:
    return web.Response(
        status=503 if reasons else 200,
        text=json.dumps(body) + "\n",
        content_type="application/json",
        headers=_NO_STORE,
    )
