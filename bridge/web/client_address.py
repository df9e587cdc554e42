"""The address of a request's client: that of its connection, or what trusted proxies say."""

from multidict import CIMultiDictProxy

from bridge.core.forwarded import TrustedProxies

FORWARDED_FIELDS = ("X-Forwarded-For", "Forwarded")


def client_address(peer: str, headers: CIMultiDictProxy[str], proxies: TrustedProxies) -> str:
    """Return the address of a client; `peer` is that of its connection."""
    if not proxies:
        return peer
    x_forwarded_for, forwarded = [headers.getall(name, ()) for name in FORWARDED_FIELDS]
    return proxies.client(peer, x_forwarded_for, forwarded)
