"""PROXY protocol: the header by which a TCP proxy names its client (HAProxy, proxy-protocol.txt).

Version 1 is a line of text, version 2 is binary. Both come before any other byte, TLS included. A
header that names no client (UNKNOWN, LOCAL, Unix sockets) is a proxy's own, such as a health check.
"""

import ipaddress
import re
from typing import Final

V2_SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
V1_START: Final = b"PROXY "
MAX_V1: Final = 107
"""Bytes of a line, with its CRLF."""
V2_FIXED: Final = 16
"""Bytes of the fixed part of version 2: signature, version and command, family, length."""
MAX_V2_BODY: Final = 4096
"""Bytes of addresses and extensions that are read."""

_V1: Final = re.compile(
    rb"PROXY TCP([46]) ([0-9A-Fa-f.:]+) ([0-9A-Fa-f.:]+) (\d{1,5}) (\d{1,5})\r\n"
)
_V1_UNKNOWN: Final = re.compile(rb"PROXY UNKNOWN(?: [ -~]*)?\r\n")
_LOCAL, _PROXY = 0x20, 0x21
_SOURCE: Final = {0x11: (4, 12), 0x21: (16, 36)}
"""By family, for TCP: bytes of the source address, which is first; bytes of all addresses."""


class ProxyHeaderError(ValueError):
    """The bytes are no header of the PROXY protocol."""


def parse_v1(line: bytes) -> str | None:
    """Return the client's address of a line; None if it names none. Raises ProxyHeaderError."""
    if _V1_UNKNOWN.fullmatch(line):
        return None
    match = _V1.fullmatch(line)
    if match is None:
        raise ProxyHeaderError
    parse = ipaddress.IPv4Address if match[1] == b"4" else ipaddress.IPv6Address
    try:
        return str(parse(match[2].decode()))
    except ValueError:
        raise ProxyHeaderError from None


def v2_body_size(fixed: bytes) -> int:
    """Return how many bytes follow the fixed part. Raises ProxyHeaderError."""
    size = int.from_bytes(fixed[14:16])
    if not fixed.startswith(V2_SIGNATURE) or fixed[12] not in (_LOCAL, _PROXY):
        raise ProxyHeaderError
    if size > MAX_V2_BODY:
        raise ProxyHeaderError
    return size


def parse_v2(fixed: bytes, body: bytes) -> str | None:
    """Return the client's address; None if the header names none. Raises ProxyHeaderError."""
    if fixed[12] == _LOCAL or fixed[13] not in _SOURCE:
        return None
    source, least = _SOURCE[fixed[13]]
    if len(body) < least:
        raise ProxyHeaderError
    return str(ipaddress.ip_address(body[:source]))
