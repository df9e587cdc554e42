"""Hosts and origins as operators write them: names in any script, and one leading wildcard.

A browser sends names in lower case and in ASCII (`xn--…`), without spaces and paths. An entry that
no browser can send is refused, or it would be listed and never match.
"""

import ipaddress
import re
from typing import Final

from yarl import URL

from bridge.core.origin import NO_PAGES
from bridge.core.origin_list import WILDCARD, OriginList

_ORIGIN: Final = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]*)://(\[[0-9A-Fa-f:.]+\]|[^\[\]:/?#@]+)(:\d+)?"
)
_NAME: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.(?!-)[a-z0-9_-]{1,63})*")
_WEB_PORTS: Final = {"http": 80, "https": 443}
_MAX_NAME: Final = 253
_MAX_PORT: Final = 65535
_NUMERIC: Final = re.compile(r"[0-9.]+|0x[0-9a-f.x]*")
"""Names that browsers read as an IPv4 address (WHATWG URL, "ends in a number")."""


def origin_list(text: str) -> OriginList:
    """Parse origins, separated by commas; there may be none. Raises ValueError, naming one."""
    return OriginList(frozenset(_origin(entry) for entry in _entries(text)))


def host_names(text: str) -> tuple[str, ...]:
    """Parse hosts, separated by commas; there may be none. Raises ValueError, naming one.

    A host is a name, `*.` and a name, or an IP address, without a port.
    """
    return tuple(_host(entry, entry) for entry in _entries(text))


def _entries(text: str) -> list[str]:
    return [entry.strip() for entry in text.split(",") if entry.strip()]


def _origin(entry: str) -> str:
    match = _ORIGIN.fullmatch(entry)
    if match is None:
        raise ValueError(
            f"{entry!r} is no origin: SCHEME://HOST or SCHEME://HOST:PORT, as in https://app.example"
        )
    scheme, host, port = match[1].lower(), _host(match[2], entry), match[3]
    number = int(port[1:]) if port else _WEB_PORTS.get(scheme)
    if number is not None and not 0 < number <= _MAX_PORT:
        raise ValueError(f"{entry!r}: a port is 1 to {_MAX_PORT}")
    if scheme in NO_PAGES:
        raise ValueError(
            f"{entry!r}: no page has an origin of {scheme}:, as in https://app.example"
        )
    return f"{scheme}://{host}" if number is None else f"{scheme}://{host}:{number}"


def _host(text: str, entry: str) -> str:
    """Return a host as browsers send it. `entry`: what the operator wrote."""
    if text.startswith("[") or ":" in text:
        return f"[{_ipv6(text.strip('[]'), entry)}]"
    wildcard, name = ("", text) if not text.startswith(WILDCARD) else (WILDCARD, text[2:])
    if "*" in name:
        raise ValueError(f"{entry!r}: a wildcard is one leading *. as in *.example.com")
    if name.endswith("."):
        raise ValueError(f"{entry!r}: a name without the dot at its end is needed")
    ascii_name = _ascii(name, entry)
    if len(ascii_name) > _MAX_NAME or not _NAME.fullmatch(ascii_name):
        raise ValueError(f"{entry!r}: {name!r} is no name of a host")
    if _NUMERIC.fullmatch(ascii_name.rpartition(".")[2]):
        return _ipv4(ascii_name, entry, wildcard=bool(wildcard))
    if wildcard and "." not in ascii_name and ascii_name != "localhost":
        raise ValueError(f"{entry!r} would be everybody's: a name of two labels is needed")
    return wildcard + ascii_name


def _ascii(name: str, entry: str) -> str:
    """Return a name in lower case, with xn-- labels for other scripts (UTS #46, as browsers do)."""
    if name.isascii():
        return name.lower()
    try:
        return (URL.build(scheme="http", host=name).raw_host or "").lower()
    except (ValueError, UnicodeError):
        raise ValueError(f"{entry!r}: {name!r} is no name of a host") from None


def _ipv4(text: str, entry: str, *, wildcard: bool) -> str:
    try:
        address = str(ipaddress.IPv4Address(text))
    except ValueError:
        raise ValueError(f"{entry!r}: {text!r} is no IPv4 address") from None
    if wildcard:
        raise ValueError(f"{entry!r}: an address has no subdomains")
    return address


def _ipv6(text: str, entry: str) -> str:
    try:
        return str(ipaddress.IPv6Address(text))
    except ValueError:
        raise ValueError(f"{entry!r}: {text!r} is no IPv6 address") from None
