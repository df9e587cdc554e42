"""Families: every metric of the bridge, in one table.

Printed names have the prefix `livequery_bridge_`; counters end with `_total`. `merge` is how the
values of several workers become one: a sum, or the largest where a sum has no meaning.
"""

from dataclasses import dataclass
from typing import Literal

PREFIX = "livequery_bridge_"


@dataclass(frozen=True, slots=True)
class Family:
    """One line of the table."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    merge: Literal["sum", "max"] = "sum"

    @property
    def printed(self) -> str:
        """The name in an exposition."""
        return PREFIX + self.name + ("_total" if self.kind == "counter" else "")


FAMILIES = (
    Family(
        "build_info",
        "gauge",
        "Always 1; version and build are labels.",
        ("version", "build"),
        "max",
    ),
    Family(
        "connections",
        "gauge",
        "Open client streams, as the limits count them.",
        ("transport", "protocol"),
    ),
    Family("sockets", "gauge", "Open client connections, idle ones included."),
    Family("viewers", "gauge", "Clients that are shown a window."),
    Family("subscriptions", "gauge", "Queries with viewers, or lingering after the last."),
    Family("upstream_subscriptions", "gauge", "Open Subscribe calls that the tier has started."),
    Family("endpoint_streams", "gauge", "Calls open or being opened, by replica.", ("endpoint",)),
    Family(
        "endpoint_ready",
        "gauge",
        "Whether a replica of the tier is connected and healthy.",
        ("endpoint",),
        "max",
    ),
    Family("draining", "gauge", "Whether the bridge drains.", merge="max"),
    Family("frames", "counter", "Frames handed to sockets."),
    Family("bytes", "counter", "Bytes of frames handed to sockets."),
    Family("conflations", "counter", "Backlogs of slow viewers replaced by a diff."),
    Family(
        "streams_ended",
        "counter",
        "Client streams that ended, by reason; refused ones are not counted.",
        ("reason",),
    ),
    Family(
        "refusals",
        "counter",
        "Failures sent to clients: a problem, a close code, or a v1 error.",
        ("transport", "kind"),
    ),
    Family("limited", "counter", "Requests and commands over a limit.", ("limit",)),
    Family("lingering", "gauge", "Subscriptions kept after their last viewer."),
    Family("lingering_evictions", "counter", "Lingering subscriptions ended early, for room."),
    Family("repairs", "counter", "Repairs of the tier's deltas.", ("cause",)),
    Family("resubscribes", "counter", "Upstream calls replaced by another.", ("cause",)),
    Family("resumes", "counter", "Resume positions offered to a tier.", ("outcome",)),
    Family("resets", "counter", "Whole windows received from the tier.", ("cause",)),
    Family(
        "write_lag_seconds",
        "histogram",
        "Time from a change at the tier to its write to the viewers' sockets.",
    ),
    Family("loop_lag_seconds", "histogram", "How late the event loop's timer ran."),
    Family(
        "loop_lag_max_seconds",
        "gauge",
        "The largest loop lag of the last 30 to 60 s.",
        merge="max",
    ),
    Family("memory_used_bytes", "gauge", "Memory in use, as the limit counts it.", merge="max"),
    Family("memory_limit_bytes", "gauge", "Memory limit, where there is one.", merge="max"),
    Family("memory_cuts", "counter", "Slow clients cut because memory was short."),
    Family(
        "certificate_reloads", "counter", "Reads of a changed listener certificate.", ("outcome",)
    ),
    Family(
        "proxy_headers_refused",
        "counter",
        "Connections of trusted proxies without a right PROXY header.",
    ),
    Family("key_reads", "counter", "Reads of the keys that verify tokens.", ("outcome",)),
    Family("workers", "gauge", "Worker processes that serve.", merge="max"),
    Family("worker_restarts", "counter", "Workers that ended unasked and were replaced."),
    Family(
        "log_lines_suppressed", "counter", "Log lines that were left out, being too many alike."
    ),
)

BY_NAME = {family.name: family for family in FAMILIES}
