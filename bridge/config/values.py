"""Values of options: the grammar of each kind, as one parser from text.

A parser raises ValueError; its message says what is expected, with an example.
"""

import ipaddress
import re
from collections.abc import Callable
from typing import Final, Literal, NamedTuple, TypeVar

from bridge.core.address import TierAddress, parse_address
from bridge.core.forwarded import TrustedProxies
from bridge.core.metadata import check_name
from bridge.core.query_parser import MAX_CONDITIONS

from .issuer_table import algorithms, key_location

T = TypeVar("T", bound=str)

MAX_WORKERS: Final = 64

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}
_SIZE = re.compile(r"(\d+)(B|KiB|MiB|GiB)?")
_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, None: 1}
_PORTS = 1 << 16
_OPERATORS_PATHS = ("/healthz", "/readyz", "/metrics")


class ListenAddress(NamedTuple):
    """Host and port to listen on. An IPv6 host is without brackets; an empty one is all hosts."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


# ------------------------------------------------------------ numbers


def duration(text: str) -> float:
    """Parse `500ms`, `15s`, `1.5m`, `2h`, or a bare number of seconds; returns seconds."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError("a duration is a number with ms, s, m or h, as in 15s")
    return float(match[1]) * _SECONDS[match[2]]


def size(text: str) -> int:
    """Parse `64KiB`, `4MiB`, or a bare number of bytes; returns bytes."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError("a size is a whole number with B, KiB, MiB or GiB, as in 256KiB")
    return int(match[1]) * _BYTES[match[2]]


def size_or_auto(text: str) -> int | None:
    """Parse a size, or `auto`; returns None for `auto`."""
    return None if text == "auto" else size(text)


def count(text: str) -> int:
    """Parse a whole number, 0 or more."""
    if not re.fullmatch(r"\d{1,9}", text):
        raise ValueError("a whole number, 0 or more, is needed")
    return int(text)


def count_or_auto(text: str) -> int | None:
    """Parse a whole number, 0 or more, or `auto`; returns None for `auto`."""
    return None if text == "auto" else count(text)


def conditions(text: str) -> int:
    """Parse a number of conditions, 1 to MAX_CONDITIONS."""
    if not re.fullmatch(r"\d{1,3}", text) or not 1 <= int(text) <= MAX_CONDITIONS:
        raise ValueError(f"a whole number, 1 to {MAX_CONDITIONS}, is needed")
    return int(text)


def workers(text: str) -> int:
    """Parse a number of worker processes, 1 to MAX_WORKERS."""
    if not re.fullmatch(r"\d{1,2}", text) or not 1 <= int(text) <= MAX_WORKERS:
        raise ValueError(f"a whole number, 1 to {MAX_WORKERS}, is needed")
    return int(text)


# ------------------------------------------------------------ words


def choice(*allowed: T) -> Callable[[str], T]:
    """Return a parser of one of some words."""

    def parse(text: str) -> T:
        for word in allowed:
            if word == text:
                return word
        raise ValueError(f"one of {', '.join(allowed)} is needed")

    return parse


def switch(text: str) -> bool:
    """Parse `on` or `off`."""
    return choice("on", "off")(text) == "on"


def names(text: str) -> tuple[str, ...]:
    """Parse names separated by commas; there may be none."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def metadata_names(text: str) -> tuple[str, ...]:
    """Parse header names; returns them in lower case, as gRPC metadata has them."""
    found = tuple(name.lower() for name in names(text))
    for name in found:
        check_name(name)
    return found


def optional_text(text: str) -> str | None:
    """Parse a name or the path of a file; returns None for an empty text."""
    if "\0" in text:
        raise ValueError("a path has no NUL")
    return text or None


# ------------------------------------------------------------ credentials


def auth_mode(text: str) -> Literal["forward", "jwt", "none"] | None:
    """Parse who judges credentials; returns None for an empty text: it was not said."""
    parse: Callable[[str], Literal["forward", "jwt", "none"]] = choice("forward", "jwt", "none")
    return parse(text) if text else None


def optional_key_location(text: str) -> str | None:
    """Parse the path of a file or an https URL; returns None for an empty text."""
    return key_location(text) if optional_text(text) else None


def jwt_algorithms(text: str) -> tuple[str, ...]:
    """Parse names of signature algorithms; there may be none."""
    return algorithms(names(text))


def jwt_types(text: str) -> frozenset[str]:
    """Parse values of `typ`; returns them in lower case, without `application/`."""
    found = frozenset(name.lower().removeprefix("application/") for name in names(text))
    if not found:
        raise ValueError("a type is needed, as in JWT,at+jwt")
    return found


def claims_metadata(text: str) -> tuple[tuple[str, str], ...]:
    """Parse `CLAIM=NAME` pairs. A claim may be a URL, so the last = counts."""
    pairs = []
    for item in names(text):
        claim, equals, name = item.rpartition("=")
        if not equals or not claim:
            raise ValueError("CLAIM=NAME is needed, as in tenant=x-tenant")
        check_name(name.lower())
        pairs.append((claim, name.lower()))
    return tuple(pairs)


def cookie_name(text: str) -> str | None:
    """Parse the name of a cookie (RFC 6265 §4.1.1); returns None for an empty text."""
    if text and not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", text):
        raise ValueError("this is no name of a cookie")
    return text or None


# ------------------------------------------------------------ addresses


def tier_addresses(text: str) -> tuple[TierAddress, ...]:
    """Parse addresses of the tier, separated by commas; there may be none."""
    return tuple(map(parse_address, names(text)))


def listen_address(text: str) -> ListenAddress:
    """Parse `HOST:PORT`. An empty host and `::` are all interfaces; port 0 picks a free port."""
    host, colon, port = text.rpartition(":")
    if not colon or not re.fullmatch(r"\d{1,5}", port) or int(port) >= _PORTS:
        raise ValueError("an address is HOST:PORT, as in 127.0.0.1:8080")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise ValueError("an IPv6 host goes in brackets, as in [::1]:8080")
    return ListenAddress(host.strip("[]"), int(port))


def listen_addresses(text: str) -> tuple[ListenAddress, ...]:
    """Parse addresses to listen on, separated by commas: at least one, and none twice."""
    found = tuple(map(listen_address, names(text)))
    if not found:
        raise ValueError("an address is needed, as in 127.0.0.1:8080")
    for number, address in enumerate(found):
        if address.port and address in found[:number]:
            raise ValueError(f"{address} is listed twice")
    return found


def may_overlap(one: ListenAddress, other: ListenAddress) -> bool:
    """Whether two addresses may be the same one: workers could bind both, and share connections."""
    return (
        bool(one.port)
        and one.port == other.port
        and not (
            _is_one(one)
            and _is_one(other)
            and ipaddress.ip_address(one.host) != ipaddress.ip_address(other.host)
        )
    )


def _is_one(address: ListenAddress) -> bool:
    """Whether it is a single address: no name, and not all of them."""
    try:
        return not ipaddress.ip_address(address.host).is_unspecified
    except ValueError:
        return False


def optional_listen_address(text: str) -> ListenAddress | None:
    """Parse `HOST:PORT`; returns None for an empty text."""
    return listen_address(text) if text else None


def trusted_proxies(text: str) -> TrustedProxies:
    """Parse networks, as `10.0.0.0/8`, and addresses, separated by commas; there may be none."""
    networks = []
    for entry in names(text):
        try:
            networks.append(ipaddress.ip_network(entry))
        except ValueError as error:
            raise ValueError(
                f"{error}: a network is an address and its bits, as in 10.0.0.0/8"
            ) from None
    return TrustedProxies(tuple(networks))


def base_path(text: str) -> str:
    """Parse a URL path such as `/api/v1/live`."""
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", text):
        raise ValueError("a path begins with / and does not end with it, as in /api/v1/live")
    if {".", ".."} & set(text.split("/")):
        raise ValueError("a path has no . and no .. in it, as in /api/v1/live")
    if text in _OPERATORS_PATHS:
        raise ValueError("this path is for operators: another one is needed, as in /api/v1/live")
    return text
