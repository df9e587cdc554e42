"""Request fields that are read as text: in ASCII, and where it matters only once.

A field value may hold any byte (RFC 9110 §5.5), and aiohttp hands such bytes on as surrogates. In
fields that steer a request they mean nothing, and code that compares or encodes them would fail.
"""

from typing import Final

from multidict import CIMultiDictProxy

from bridge.core.errors import Failed, Kind

_STEERING: Final = frozenset(
    [
        "accept-encoding",
        "access-control-request-headers",
        "access-control-request-method",
        "authorization",
        "connection",
        "expect",
        "host",
        "if-none-match",
        "keep-alive",
        "origin",
        "te",
        "transfer-encoding",
        "upgrade",
    ]
)
_FAMILIES: Final = ("content-", "sec-")


def steering_field_at_fault(headers: CIMultiDictProxy[str]) -> str | None:
    """Return the name of a field that steers the request and is not ASCII, in lower case."""
    for name, value in headers.items():
        if not value.isascii():
            lower = name.lower()
            if lower in _STEERING or lower.startswith(_FAMILIES):
                return lower
    return None


def check_steering_fields(headers: CIMultiDictProxy[str]) -> None:
    """Refuse a request with a steering field that is not ASCII. Raises Failed."""
    name = steering_field_at_fault(headers)
    if name is not None:
        raise not_ascii(name)


def not_ascii(name: str) -> Failed:
    """Return the failure for such a field."""
    return Failed(Kind.MALFORMED, "a header of visible ASCII is needed", field=name)
