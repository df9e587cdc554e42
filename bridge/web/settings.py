"""Settings of the web floor: what the root passes down, in seconds, bytes and counts."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WebSettings:
    """Where to serve, whom, and how patiently. 0 is no limit."""

    base_path: str = "/api/v1/live"
    allowed_origins: frozenset[str] = frozenset()
    """Normalised origins served beside the listener's own."""
    loopback: bool = True
    """Whether the listener is on a loopback address, where Host must be one too."""
    forward: tuple[str, ...] = ("authorization",)
    """Request headers, in lower case, that travel to the tier."""
    scope: tuple[str, ...] | None = None
    """Which of them sharing may depend on; None is all but trace and request ids."""
    max_rows: int = 1000
    max_connections: int = 10_000
    max_connections_per_ip: int = 100
    heartbeat_interval: float = 15.0
    ping_interval: float = 25.0
    first_message_timeout: float = 5.0
    viewer_backlog: int = 256 * 1024
    pages: bool = False
    """Whether the explorer page and the browser library are served."""
