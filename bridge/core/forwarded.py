"""Forwarded: a client's address behind proxies (RFC 7239; X-Forwarded-For is older and the same).

Each proxy adds the address of whoever sent to it, at the right. A client can put anything to the
left of that. Therefore the list is read from the right, from the connection's own address on: as
long as an address is one of a trusted proxy, the one that it names is believed.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_HOPS: Final = 64
"""Proxies that are read at most: a chain of more is none of the operator's."""
_FOR: Final = re.compile(
    r'(?:^|;)\s*for\s*=\s*(?:"([^"\\]*)"|([^\s;",]+))\s*(?=;|$)', re.IGNORECASE
)
_BRACKETED: Final = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::\d{1,5})?")
_WITH_PORT: Final = re.compile(r"([0-9.]+):\d{1,5}")


@dataclass(frozen=True)
class TrustedProxies:
    """Networks of the operator's proxies. None are trusted without any."""

    networks: tuple[Network, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.networks)

    def __contains__(self, address: str) -> bool:
        return _is_in(address, self.networks)

    def client(self, peer: str, x_forwarded_for: Sequence[str], forwarded: Sequence[str]) -> str:
        """Return the address of the client of a request.

        `peer` is the connection's own address; the others are the lines of the two fields. Proxies
        write one of them and let the other pass, which the client may have written: where both are
        there and differ, neither is believed.
        """
        if peer not in self:
            return peer
        if x_forwarded_for and forwarded:
            one = self._walk(peer, _x_forwarded_for(x_forwarded_for))
            return one if one == self._walk(peer, _forwarded(forwarded)) else peer
        hops = _x_forwarded_for(x_forwarded_for) if x_forwarded_for else _forwarded(forwarded)
        return self._walk(peer, hops)

    def _walk(self, peer: str, hops: list[str | None]) -> str:
        """Go from the connection to the left; stop at what is no trusted proxy."""
        address = peer
        for hop in hops[: -MAX_HOPS - 1 : -1]:
            if hop is None:  # hidden, or no address: the proxy that wrote it is all that is known
                return address
            address = hop
            if address not in self:
                return address
        return address


@lru_cache(1024)
def _is_in(address: str, networks: tuple[Network, ...]) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return any((mapped or parsed) in network for network in networks)


def _x_forwarded_for(lines: Sequence[str]) -> list[str | None]:
    return [_address(hop.strip()) for hop in ",".join(lines).split(",")]


def _forwarded(lines: Sequence[str]) -> list[str | None]:
    hops: list[str | None] = []
    # A quoted comma splits, too: else a client's open quote would swallow what a proxy adds.
    for element in ",".join(lines).split(","):
        found = _FOR.findall(element.strip())
        hops.append(_address("".join(found[0])) if len(found) == 1 else None)
    return hops


def _address(text: str) -> str | None:
    """Return the address of a hop, without port; None if it is none."""
    match = _BRACKETED.fullmatch(text) or _WITH_PORT.fullmatch(text)
    try:
        # A zone is a machine's own word (RFC 6874 §1): no proxy has a client by it.
        return None if "%" in text else str(ipaddress.ip_address(match[1] if match else text))
    except ValueError:
        return None
