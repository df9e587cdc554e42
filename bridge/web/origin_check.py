"""Judge: whether a request is meant for this listener, and whose page sent it."""

from functools import lru_cache

from multidict import CIMultiDictProxy

from bridge.core.errors import Failed, Kind
from bridge.core.origin import check_loopback_host, check_origin

from .settings import WebSettings
from .stream_request import StreamRequest


def check_request_origin(headers: CIMultiDictProxy[str], settings: WebSettings) -> str | None:
    """Return the foreign origin that is let in, if one is.

    Raises Failed where the request is not for us, or its page not listed.
    """
    hosts, origins = headers.getall("Host", ()), headers.getall("Origin", ())
    return _foreign(tuple(hosts), tuple(origins), settings.allowed_origins, settings.loopback)


@lru_cache(64)
def _foreign(
    hosts: tuple[str, ...],
    origins: tuple[str, ...],
    allowed: frozenset[str],
    loopback: bool,  # noqa: FBT001 - a key of the memory
) -> str | None:
    """Judge; remembered, for clients come by few names."""
    if len(hosts) > 1:
        raise Failed(Kind.MALFORMED, "one Host is enough", field="host")
    host = hosts[0] if hosts else ""
    if loopback and hosts:
        check_loopback_host(host, allowed)
    return check_origin(list(origins), host, allowed)


def check_cookie(ask: StreamRequest) -> None:
    """Refuse what a foreign page may have sent along with the user's cookie."""
    headers = ask.headers
    if "Cookie" not in headers:
        return
    # A same-origin GET carries no Origin; browsers that know better say so (Fetch Metadata).
    if "Origin" not in headers and headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        raise Failed(Kind.DENIED, "a cookie is not taken from another site", field="cookie")
    # A plain form of a foreign page could send a cookie, but not this type.
    if ask.body is not None and ask.content_type != "application/json":
        raise Failed(
            Kind.MALFORMED, "application/json is needed beside a cookie", field="content-type"
        )
