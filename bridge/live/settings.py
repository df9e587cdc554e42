"""Settings of the live floor: what the root passes down, in seconds, bytes and counts."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """How long to wait, how much to hold. 0 is no limit, where a limit can be left out."""

    open_timeout: float = 10.0
    """From a request to the tier's `started`, retries included."""
    started_timeout: float = 5.0
    """For one attempt's `started`."""
    snapshot_timeout: float = 10.0
    """From `started` or a reset to the window's last row."""
    reanchor_timeout: float = 3.0
    """For the tier's answer to one Reanchor."""
    max_staleness: float = 60.0
    """How long a window may stand without its tier."""
    linger: float = 5.0
    """How long an upstream subscription is kept after its last viewer."""
    backoff_first: float = 0.1
    backoff_factor: float = 1.6
    backoff_most: float = 10.0
    sharing: bool = True
    """Whether equal queries of one scope share an upstream subscription."""
