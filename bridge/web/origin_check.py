"""Origin check: whether a request is meant for this listener, and whether its page may ask."""

from functools import lru_cache
from typing import Final

from multidict import CIMultiDictProxy

from bridge.core.errors import Failed, Kind
from bridge.core.origin import check_allowed_host, check_loopback_host, check_origin
from bridge.core.origin_list import OriginList

from .settings import WebSettings
from .stream_request import StreamRequest

_OWN_SITES: Final = frozenset(["same-origin"])


def check_request_origin(
    headers: CIMultiDictProxy[str], settings: WebSettings, *, any_host: bool = False
) -> str | None:
    """Return the page's origin, if it is listed and not the listener's own.

    `any_host`: Host may be one that `--allowed-hosts` does not list.

    Raises:
        Failed: the Host is not this listener's, or the origin is not listed.

    """
    hosts, origins = headers.getall("Host", ()), headers.getall("Origin", ())
    return _foreign_origin(
        tuple(hosts),
        tuple(origins),
        settings.allowed_origins,
        () if any_host else settings.allowed_hosts,
        settings.loopback,
        settings.tls,
    )


@lru_cache(64)
def _foreign_origin(  # noqa: PLR0917 - what decides, as keys of the cache
    hosts: tuple[str, ...],
    origins: tuple[str, ...],
    allowed: OriginList,
    allowed_hosts: tuple[str, ...],
    loopback: bool,  # noqa: FBT001 - keys of the cache
    tls: bool,  # noqa: FBT001
) -> str | None:
    """Check; cached, for clients use few names."""
    if len(hosts) > 1:
        raise Failed(Kind.MALFORMED, "one Host is enough", field="host")
    host = hosts[0] if hosts else ""
    if loopback and hosts:
        check_loopback_host(host, allowed, allowed_hosts)
    elif allowed_hosts:
        check_allowed_host(host, allowed_hosts)
    return check_origin(list(origins), host, allowed, tls=tls)


def check_cookie(request: StreamRequest) -> None:
    """Refuse a request that a foreign page may have sent with the user's cookie. Raises Failed."""
    headers = request.headers
    if "Cookie" not in headers:
        return
    # A same-origin GET carries no Origin; newer browsers send Sec-Fetch-Site (Fetch Metadata).
    if "Origin" not in headers and not _OWN_SITES.issuperset(headers.getall("Sec-Fetch-Site", ())):
        raise Failed(Kind.DENIED, "a cookie is not taken from another site", field="cookie")
    # A plain form of a foreign page could send a cookie, but not this type.
    if request.body is not None and request.content_type != "application/json":
        raise Failed(
            Kind.MALFORMED, "application/json is needed beside a cookie", field="content-type"
        )
