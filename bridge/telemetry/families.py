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
    Family("build_info", "gauge", "Always 1; the version is a label.", ("version",), "max"),
    Family(
        "connections",
        "gauge",
        "Open client streams, as the limits count them.",
        ("transport", "protocol"),
    ),
    Family("sockets", "gauge", "Open client connections, idle ones included."),
    Family("viewers", "gauge", "Clients that are shown a window."),
    Family("subscriptions", "gauge", "Queries held, or lingering after their last viewer."),
    Family("upstream_subscriptions", "gauge", "Subscribe calls started and open."),
    Family("endpoint_streams", "gauge", "Calls open or being opened, by replica.", ("endpoint",)),
    Family(
        "endpoint_ready",
        "gauge",
        "Whether a replica of the tier is connected and serves.",
        ("endpoint",),
        "max",
    ),
    Family("draining", "gauge", "Whether the bridge is on its way out.", merge="max"),
    Family("frames", "counter", "Frames handed to sockets."),
    Family("bytes", "counter", "Bytes of frames handed to sockets, as printed."),
    Family("conflations", "counter", "Backlogs of slow viewers that became a diff."),
    Family(
        "streams_ended",
        "counter",
        "Client streams that had begun and ended, by reason.",
        ("reason",),
    ),
    Family(
        "refusals",
        "counter",
        "Clients told a failure: a problem, a close code, or a v1 error.",
        ("transport", "kind"),
    ),
    Family("repairs", "counter", "What the guard mended in the tier's groups.", ("cause",)),
    Family("resubscribes", "counter", "Upstream calls given up for another.", ("cause",)),
    Family("resumes", "counter", "Positions offered to a tier that started a call.", ("outcome",)),
    Family("resets", "counter", "Whole windows taken from the tier.", ("cause",)),
    Family(
        "write_lag_seconds",
        "histogram",
        "From a change's time at the tier to its write to the viewers' sockets.",
    ),
    Family("loop_lag_seconds", "histogram", "How late the event loop's timer ran."),
    Family(
        "loop_lag_max_seconds",
        "gauge",
        "The latest it ran in the last 30 to 60 s.",
        merge="max",
    ),
    Family("memory_used_bytes", "gauge", "Memory in use, as its limit counts it.", merge="max"),
    Family("memory_limit_bytes", "gauge", "Memory there is, where that is limited.", merge="max"),
    Family("memory_cuts", "counter", "Slow clients cut because memory was short."),
    Family("certificate_reloads", "counter", "Listener certificates read anew.", ("outcome",)),
    Family("workers", "gauge", "Worker processes that serve.", merge="max"),
    Family("worker_restarts", "counter", "Workers that ended unasked and were started anew."),
)

BY_NAME = {family.name: family for family in FAMILIES}
