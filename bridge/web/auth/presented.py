"""Presented: the credential that a request came with, not judged yet."""

from typing import NamedTuple

from multidict import CIMultiDict, CIMultiDictProxy

from bridge.core.errors import Failed, Kind
from bridge.core.metadata import TRACE_HEADER
from bridge.web.stream_request import StreamRequest

from .cookies import find_cookie
from .tickets import Tickets

_BEARER = "bearer"


class Presented(NamedTuple):
    """A token, and the header fields that it came with.

    `token` None: there is none; in `forward` mode that is for the tier to judge. `found`: whether
    any of the sources had something. `replaces`: the token stands for an Authorization field.
    """

    headers: CIMultiDictProxy[str]
    remote: str
    """The client's address."""
    token: str | None = None
    found: bool = False
    replaces: bool = False


def find_credential(
    request: StreamRequest, *, cookie: str | None, tickets: Tickets | None, bearer_only: bool
) -> Presented:
    """Find a request's credential: Authorization, `?ticket=`, cookie; the first one wins.

    `bearer_only`: an Authorization of another scheme is none. A ticket is used up by this.

    Raises:
        Failed: MALFORMED for two of one source; UNAUTHENTICATED for a ticket that is not good.

    """
    headers, remote, sent = request.headers, request.remote, request.parameters.tickets
    authorizations = headers.getall("Authorization", ())
    if len(authorizations) > 1:
        raise Failed(Kind.MALFORMED, "one Authorization is enough", field="authorization")
    if len(sent) > 1:
        raise Failed(Kind.MALFORMED, "one ticket is enough", field="ticket")
    value = find_cookie(headers, cookie) if cookie is not None else None
    if authorizations:
        token = bearer_token(authorizations[0])
        if token is not None or not bearer_only:
            return Presented(headers, remote, token, found=True)
    if sent and tickets is not None:
        content = tickets.redeem(sent[0], request.foreign_origin)
        # What the ticket was asked with, and nothing else that authorisation may depend on.
        carried = [pair for pair in headers.items() if TRACE_HEADER.fullmatch(pair[0].lower())]
        carried += content.headers
        return Presented(CIMultiDictProxy(CIMultiDict(carried)), remote, content.token, found=True)
    if value is not None:
        return Presented(headers, remote, value, found=True, replaces=True)
    return Presented(headers, remote)


def bearer_token(authorization: str) -> str | None:
    """Return the token of `Bearer TOKEN` (RFC 6750 §2.1); None for another scheme."""
    scheme, _, token = authorization.partition(" ")
    return token.strip(" ") if scheme.lower() == _BEARER else None
