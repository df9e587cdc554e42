"""RequestTemplates: requests that differ only in the lines that are their client's own.

Clients of one page send the same bytes, but for a credential, the key of a WebSocket's handshake,
or where their stream was. Those lines are cut out; what is left is parsed once.

Invariant: a template was made from a request that was parsed whole. Inserting plain header lines,
of names that it does not have, between its lines gives a request that is parsed to the same and
those lines.
"""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from msgspec.structs import replace
from multidict import CIMultiDict, CIMultiDictProxy

from bridge.web.parse_cache import MAX_ENTRIES, MAX_LENGTH
from bridge.web.stream_request import StreamRequest

from .request_head import MAX_HEAD

MAX_OWN: Final = 8
"""Lines of its own that a request may have."""
_MAX_FIELDS: Final = 64 - MAX_OWN
"""Fields of a template: with the lines put in, there are no more than a head may have."""


class CutRequest(NamedTuple):
    """A request, cut."""

    rest: bytes
    """What is left; the key of its template."""
    own: list[tuple[str, str]]
    """The fields that were cut out, as they were sent."""


class RequestTemplates:
    """Those of one listener. `names`: fields that are a client's own."""

    def __init__(self, names: Iterable[str]) -> None:
        any_name = "|".join(map(re.escape, names))
        self._line = re.compile(
            rf"\r\n({any_name}):([^\r]*)(?=\r\n)".encode("ascii"), re.IGNORECASE
        )
        self._templates: dict[bytes, StreamRequest] = {}

    def cut(self, data: bytes) -> CutRequest | None:
        """Cut a request; None: it is none that a template may be of."""
        if len(data) > MAX_HEAD:
            return None
        if not data.startswith(b"GET "):  # a body may look like a line
            return CutRequest(data, []) if self._line.search(data) is None else None
        if not data.endswith(b"\r\n\r\n"):
            return None
        parts = self._line.split(data)
        if len(parts) == 1:
            return CutRequest(data, [])
        own = []
        for at in range(1, len(parts), 3):
            # As text one by one: what is no ASCII, or not visible, is for the whole parser.
            name, value = str(parts[at], "latin-1"), str(parts[at + 1], "latin-1")
            if not (value.isascii() and value.isprintable()):
                return None
            own.append((name, value.strip()))
        if len(own) > 1 and len({name.lower() for name, _ in own}) < len(own):
            return None
        if len(own) > MAX_OWN:
            return None
        return CutRequest(b"".join(parts[::3]), own)

    def find(self, rest: bytes) -> StreamRequest | None:
        """Return the template of what is left of a request, if one like it came before."""
        return self._templates.get(rest)

    def remember(self, request: CutRequest, parsed: StreamRequest) -> None:
        """Make a template of a request that was parsed whole."""
        if len(request.rest) > MAX_LENGTH or len(parsed.headers) > _MAX_FIELDS:
            return
        headers = parsed.headers
        if request.own:
            headers = without(headers, *[name for name, _ in request.own])
        if len(self._templates) >= MAX_ENTRIES:
            del self._templates[next(iter(self._templates))]
        self._templates[request.rest] = replace(
            parsed, headers=headers, websocket_key="", anonymous=True, sole_token=None
        )


def with_own(headers: CIMultiDictProxy[str], own: list[tuple[str, str]]) -> CIMultiDictProxy[str]:
    """Return a template's fields with those of one client."""
    if not own:
        return headers
    fields = CIMultiDict(headers)
    fields.extend(own)
    return CIMultiDictProxy(fields)


def without(headers: CIMultiDictProxy[str], *names: str) -> CIMultiDictProxy[str]:
    """Return fields but for those of some names."""
    fields = CIMultiDict(headers)
    for name in names:
        fields.pop(name, None)
    return CIMultiDictProxy(fields)
