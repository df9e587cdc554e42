"""Client addresses, as limits count them (RFC 4291 §2.5.5.2, RFC 6177 §2)."""

import ipaddress
from functools import lru_cache
from typing import Final

_SITE_PREFIX: Final = 64
"""Bits of an IPv6 address that name a network; one client can have all addresses of one."""


@lru_cache(4096)
def counted_address(address: str) -> str:
    """Return what limits by address count a client under.

    An IPv4 address is counted alone, also one that is mapped into IPv6. An IPv6 address is counted
    with its /64 network. Any other text is counted as it is.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    network = ipaddress.IPv6Network((int(parsed), _SITE_PREFIX), strict=False)
    return str(network)
