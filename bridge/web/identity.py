"""Identity: which of a request's headers travel to the tier, and which sharing depends on."""

from multidict import CIMultiDict, CIMultiDictProxy

from bridge.core.errors import Failed, Kind
from bridge.core.metadata import METADATA_VALUE, TRACE_HEADER
from bridge.live.backend import Identity

NOBODY = Identity()


def with_token(
    headers: CIMultiDictProxy[str],
    token: str,
    forward: tuple[str, ...],
    scope: tuple[str, ...] | None,
) -> Identity:
    """Read who asks, a token that came in a message standing for the Authorization header."""
    stated = CIMultiDict(headers)
    stated["Authorization"] = f"Bearer {token}"
    return identify(CIMultiDictProxy(stated), forward, scope)


def identify(
    headers: CIMultiDictProxy[str], forward: tuple[str, ...], scope: tuple[str, ...] | None
) -> Identity:
    """Read who asks.

    Raises:
        Failed: MALFORMED for a value that gRPC can't carry; UNAUTHENTICATED without a header
            that the scope was narrowed to: sharing fails closed.

    """
    metadata: list[tuple[str, str]] = []
    for name in forward:
        for value in headers.getall(name, ()):
            if not METADATA_VALUE.fullmatch(value):
                raise Failed(Kind.MALFORMED, "a header of visible ASCII is needed", field=name)
            metadata.append((name, value))
    if not metadata and not scope:
        return NOBODY
    if scope is None:
        pairs = tuple(pair for pair in metadata if not TRACE_HEADER.fullmatch(pair[0]))
    else:
        present = {name for name, _ in metadata}
        for name in scope:
            if name not in present:
                raise Failed(Kind.UNAUTHENTICATED, "this header is needed", field=name)
        pairs = tuple(pair for pair in metadata if pair[0] in scope)
    return Identity(tuple(metadata), pairs)
