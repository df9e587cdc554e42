"""LiveSettings: what the root passes down to the live layer."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from .query_limits import QueryLimits


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """Timeouts in seconds. 0 is no limit, where one can be left out."""

    open_timeout: float = 10.0
    """From a request to the tier's `started`, retries included."""
    started_timeout: float = 5.0
    """For the `started` of one attempt."""
    snapshot_timeout: float = 10.0
    """From `started` or a reset to the last row of the snapshot."""
    reanchor_timeout: float = 3.0
    """For the tier's answer to one Reanchor."""
    max_staleness: float = 60.0
    """How long a window is kept while its tier is lost."""
    linger: float = 5.0
    """How long a subscription is kept after its last viewer."""
    backoff_first: float = 0.1
    backoff_factor: float = 1.6
    backoff_most: float = 10.0
    limits: QueryLimits = QueryLimits()  # noqa: RUF009 - frozen
    sharing: bool = True
    """Whether equal queries of one scope share a subscription."""
    wall_clock: Callable[[], float] = time.time
    """Seconds since the epoch, by which credentials expire."""
