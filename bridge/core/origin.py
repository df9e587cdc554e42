"""Origin and Host: which pages may read a stream (docs/wire.md, 'Origin'). Pure rules.

An Origin header names the page that asks (RFC 6454 §7); browsers can't forge it. On a loopback
listener Host is checked too: a page whose own name is rebound to 127.0.0.1 is refused.
"""

import ipaddress
from urllib.parse import urlsplit

from .errors import Failed, Kind

_DEFAULT_PORTS = {"http": 80, "https": 443}


def normalize_origin(origin: str) -> str:
    """Return `scheme://host:port` in lower case, the port spelled out.

    Raises:
        ValueError: no origin: a path, credentials, another scheme, or nothing at all.

    """
    parts = urlsplit(origin)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ValueError(f"{origin!r} is no http(s) origin")
    if parts.path or parts.query or parts.fragment or parts.username is not None:
        raise ValueError(f"{origin!r} has more than scheme, host and port")
    port = _DEFAULT_PORTS[parts.scheme] if parts.port is None else parts.port
    return f"{parts.scheme}://{_bracket(parts.hostname)}:{port}"


def check_origin(origins: list[str], host: str, allowed: frozenset[str]) -> str | None:
    """Judge a request's Origin headers; returns the foreign origin that was let in, if one was.

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
        return None if _own(name, host) else origin
    if _own(name, host):
        return None
    raise _denied()


def _own(origin: str, host: str) -> bool:
    """Whether an origin has the host and port of Host; a port left out is the scheme's."""
    scheme = origin.partition(":")[0]
    try:
        return normalize_origin(f"{scheme}://{host}") == origin
    except ValueError:
        return False


def check_loopback_host(host: str, allowed: frozenset[str]) -> None:
    """Judge Host on a loopback listener.

    Raises:
        Failed: DENIED unless it is localhost, a loopback address or a listed origin's host.

    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        name = ""
    if name == "localhost" or is_loopback(name):
        return
    if any(urlsplit(origin).hostname == name for origin in allowed):
        return
    raise Failed(Kind.DENIED, "this listener is for localhost; list the page in --allowed-origins")


def is_loopback(host: str) -> bool:
    """Whether a host is a loopback address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bracket(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _denied() -> Failed:
    return Failed(Kind.DENIED, "this origin is not allowed; see --allowed-origins")
