"""Metric bindings: which part of a bridge each metric of the table is read from."""

import ssl
from collections import Counter
from collections.abc import Callable, Sequence

from bridge.live.hub import Hub
from bridge.process.memory_guard import MemoryGuard
from bridge.telemetry.limited_handler import suppressed_lines
from bridge.telemetry.loop_lag import LoopLag
from bridge.telemetry.metrics import Metrics
from bridge.tls.reloading import ReloadableFiles
from bridge.upstream.endpoints import Endpoints
from bridge.web.auth.key_store import KeyStore
from bridge.web.stream_log import StreamLog


def bind_metrics(
    metrics: Metrics,
    *,
    hub: Hub,
    endpoints: Endpoints,
    stream_log: StreamLog,
    sockets: Callable[[], int],
    refused_headers: Callable[[], int],
    loop_lag: LoopLag,
    memory: MemoryGuard,
    certificate: ReloadableFiles[ssl.SSLContext] | None,
    key_stores: Sequence[KeyStore],
) -> None:
    """Bind the metrics that Metrics does not count itself. `sockets`: open client connections.

    `refused_headers`: PROXY headers that were refused.
    """
    bind = metrics.bind
    bind("connections", lambda: stream_log.open)
    bind("refusals", lambda: stream_log.refused)
    bind("limited", lambda: stream_log.limited)
    bind("lingering", lambda: hub.limiter.lingering)
    bind("lingering_evictions", lambda: hub.limiter.evicted)
    bind("sockets", sockets)
    bind("proxy_headers_refused", refused_headers)
    bind("subscriptions", lambda: hub.subscriptions)
    bind("draining", lambda: float(hub.draining))
    bind("endpoint_streams", lambda: {(r.address,): r.streams for r in endpoints.snapshot()})
    bind(
        "endpoint_ready",
        lambda: {(r.address,): float(r.state == "ready") for r in endpoints.snapshot()},
    )
    bind("loop_lag_seconds", lambda: loop_lag.histogram)
    bind("loop_lag_max_seconds", lambda: loop_lag.max)
    bind("memory_used_bytes", lambda: memory.usage.used if memory.usage else {})
    bind("memory_limit_bytes", lambda: memory.usage.limit if memory.usage else {})
    bind("log_lines_suppressed", suppressed_lines)
    bind("memory_cuts", lambda: memory.cut_clients)
    if certificate is not None:
        bind("certificate_reloads", lambda: certificate.reloads)
    if key_stores:
        bind("key_reads", lambda: sum((store.reads for store in key_stores), Counter()))
