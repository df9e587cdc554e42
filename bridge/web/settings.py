"""WebSettings: settings of the web floor, in seconds, bytes and counts."""

from dataclasses import dataclass

from bridge.core.forwarded import TrustedProxies
from bridge.core.origin_list import OriginList


@dataclass(frozen=True, slots=True)
class WebSettings:
    """Paths, origins, headers, and limits. 0 is no limit."""

    base_path: str = "/api/v1/live"
    allowed_origins: OriginList = OriginList()  # noqa: RUF009 - frozen
    """Origins that are served beside the listener's own."""
    allowed_hosts: tuple[str, ...] = ()
    """Hosts that requests may be for; none: any, except on a loopback address."""
    trusted_proxies: TrustedProxies = TrustedProxies()  # noqa: RUF009 - frozen
    loopback: bool = True
    """Whether the listener is on a loopback address; Host must then be one, too."""
    tls: bool = False
    """Whether the listener speaks TLS itself; the scheme of its own origin is then `https`."""
    forward: tuple[str, ...] = ("authorization",)
    """Request headers, in lower case, that go to the tier."""
    scope: tuple[str, ...] | None = None
    """Those that limit sharing; None: all but trace and request ids."""
    max_rows: int = 1000
    max_subscriptions: int = 64
    """Of a v1 socket."""
    command_rate: int = 10
    max_stream_life: float = 3600.0
    heartbeat_interval: float = 15.0
    ping_interval: float = 25.0
    first_message_timeout: float = 5.0
    viewer_backlog: int = 256 * 1024
    pages: bool = False
    """Whether the explorer page and the browser library are served."""
    board: bool = False
    """Whether the front page is the demo's departures board; else it is the explorer."""
