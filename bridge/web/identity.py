"""Identity: the headers of a request that go to the tier, and those that limit sharing."""

from multidict import CIMultiDict, CIMultiDictProxy

from bridge.core.errors import Failed, Kind
from bridge.core.metadata import METADATA_VALUE, TRACE_HEADER
from bridge.live.backend import Identity

ANONYMOUS = Identity()


def with_token(
    headers: CIMultiDictProxy[str],
    token: str,
    forward: tuple[str, ...],
    scope: tuple[str, ...] | None,
) -> Identity:
    """Read on whose behalf a client asks; `token` replaces its Authorization header."""
    replaced = CIMultiDict(headers)
    replaced["Authorization"] = f"Bearer {token}"
    return identify(CIMultiDictProxy(replaced), forward, scope)


def identify(
    headers: CIMultiDictProxy[str], forward: tuple[str, ...], scope: tuple[str, ...] | None
) -> Identity:
    """Read on whose behalf a client asks. Its `holder` is what it forwards, trace headers excepted.

    An empty header counts as a missing one.

    Raises:
        Failed: MALFORMED for a value that gRPC can't carry, and for a header of the scope, or a
            credential, that is there twice: which of them is meant?; UNAUTHENTICATED without a
            header that `scope` names, for windows must not be shared by clients of unknown scope.

    """
    if len(headers.getall("Authorization", ())) > 1:
        raise _twice("authorization")
    metadata: list[tuple[str, str]] = []
    for name in forward:
        values = [value for value in headers.getall(name, ()) if value.strip(" \t")]
        if len(values) > 1 and _limits_sharing(name, scope):
            raise _twice(name)
        for value in values:
            if not METADATA_VALUE.fullmatch(value):
                raise Failed(Kind.MALFORMED, "a header of visible ASCII is needed", field=name)
            metadata.append((name, value))
    if not metadata and not scope:
        return ANONYMOUS
    pairs = tuple(pair for pair in metadata if not TRACE_HEADER.fullmatch(pair[0]))
    holder = pairs or None
    if scope is not None:
        present = {name for name, _ in metadata}
        for name in scope:
            if name not in present:
                raise Failed(Kind.UNAUTHENTICATED, "this header is needed", field=name)
        pairs = tuple(pair for pair in metadata if pair[0] in scope)
    return Identity(tuple(metadata), pairs, holder)


def _limits_sharing(name: str, scope: tuple[str, ...] | None) -> bool:
    return name in scope if scope is not None else not TRACE_HEADER.fullmatch(name)


def _twice(name: str) -> Failed:
    return Failed(Kind.MALFORMED, "this header is there twice", field=name)
