"""Origin and Host: which pages may read a stream (docs/wire.md, 'Origin').

An Origin header names the page that sends the request (RFC 6454 §7); a page can't forge it. A
loopback listener checks Host, too, against DNS rebinding: a page whose name resolves to 127.0.0.1.
"""

import ipaddress
import re
from urllib.parse import urlsplit

from .errors import Failed, Kind
from .origin_list import OriginList, host_matches

_DEFAULT_PORTS = {"http": 80, "https": 443}
_VISIBLE = re.compile(r"[!-~]*")
"""Parsers of URLs drop tabs and line breaks: what is compared must be what was sent."""
_HOST = re.compile(
    r"(?:\[([0-9A-Fa-f:.]+)\]|([^]:/?#@\\[\x00- \x7f-\U0010ffff]*))(?::([0-9]{0,5}))?"
)
"""An address in brackets or a name, and maybe a port."""
_PORTS = 1 << 16
NO_PAGES = frozenset(["file", "ftp", "ws", "wss"])
"""The other special schemes of WHATWG URL: no page has such an origin."""


def normalize_origin(origin: str) -> str:
    """Return `scheme://host:port` in lower case; for http and https always with the port.

    Raises:
        ValueError: it has no scheme, no host, or more than scheme, host and port.

    """
    if not _VISIBLE.fullmatch(origin):
        raise ValueError(f"{origin!r} is not visible ASCII")
    parts = urlsplit(origin)
    if not parts.scheme or parts.scheme in NO_PAGES or not parts.hostname:
        raise ValueError(f"{origin!r} is no origin")
    if parts.path or parts.query or parts.fragment or parts.username is not None:
        raise ValueError(f"{origin!r} has more than scheme, host and port")
    port = _DEFAULT_PORTS.get(parts.scheme) if parts.port is None else parts.port
    site = f"{parts.scheme}://{_bracket(parts.hostname)}"
    return site if port is None else f"{site}:{port}"


def check_origin(
    origins: list[str], host: str, allowed: OriginList, *, tls: bool = False
) -> str | None:
    """Check the Origin headers of a request; return a foreign origin that is allowed, else None.

    `tls`: the listener speaks TLS itself, so its own origin is `https`. Without, it may be either:
    a proxy may have taken the TLS away.

    Raises:
        Failed: DENIED for an origin that is neither the listener's own nor listed.

    """
    if not origins:
        return None
    try:
        [origin] = origins
        name = normalize_origin(origin)
    except ValueError:
        raise _denied() from None
    if name in allowed:
        return None if _is_own(name, host, tls=tls) else origin
    if _is_own(name, host, tls=tls):
        return None
    raise _denied()


def _is_own(origin: str, host: str, *, tls: bool) -> bool:
    """Return whether an origin has the host and port of Host; without a port, the scheme's."""
    scheme = origin.partition(":")[0]
    if scheme not in _DEFAULT_PORTS:  # an app's page: it has no host of ours
        return False
    if tls and scheme != "https":
        return False
    try:
        return normalize_origin(f"{scheme}://{host}") == origin
    except ValueError:
        return False


def check_loopback_host(host: str, allowed: OriginList, hosts: tuple[str, ...] = ()) -> None:
    """Check the Host header of a request on a loopback listener.

    Raises:
        Failed: DENIED unless it is localhost or below it, a loopback address, a listed origin's
            host or one of `hosts`.

    """
    name = _host_name(host)
    if is_localhost(name) or is_loopback(name):
        return
    if allowed.has_host(name) or host_matches(_bracket(name.removesuffix(".")), hosts):
        return
    raise Failed(Kind.DENIED, "this listener is for localhost; list the page in --allowed-origins")


def is_localhost(name: str) -> bool:
    """Return whether a name is `localhost` or below it, which is loopback (RFC 6761 §6.3)."""
    return f".{name.removesuffix('.')}".endswith(".localhost")


def check_allowed_host(host: str, allowed: tuple[str, ...]) -> None:
    """Check that the Host header of a request is a listed one, whatever its port. Raises Failed."""
    if not host_matches(_bracket(_host_name(host).removesuffix(".")), allowed):
        raise Failed(Kind.DENIED, "this host is not served here; see --allowed-hosts", field="host")


def _host_name(host: str) -> str:
    """Return the name or address in a Host header, without brackets; empty if it has none.

    It is a host and maybe a port, and nothing else (RFC 9112 §3.2).
    """
    match = _HOST.fullmatch(host)
    if match is None or int(match[3] or 0) >= _PORTS:
        return ""
    return (match[1] or match[2]).lower()


def is_loopback(host: str) -> bool:
    """Return whether a host is a loopback address; a name is none."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bracket(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _denied() -> Failed:
    return Failed(Kind.DENIED, "this origin is not allowed; see --allowed-origins")
