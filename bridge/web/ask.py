"""Ask: a request for an event stream, whoever read it from its connection."""

import msgspec
from multidict import CIMultiDict, CIMultiDictProxy

from .asked import Asked


class Ask(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """All of a request that matters to a stream."""

    name: str
    """What it is called in logs and in its answer."""
    url: Asked
    """What its URL says."""
    headers: CIMultiDictProxy[str]
    body: bytes | None
    """That of a POST; None: it was a GET."""
    chunked: bool
    """Whether the answer may come in chunks: HTTP/1.1 and later."""
    keep_alive: bool
    """Whether the client would use the connection again."""
    remote: str
    """The client's address."""
    foreign_origin: str | None
    """The listed origin of a page that is not the listener's own."""

    def answered(self) -> "Ask":
        """Return what is still to be known of it while the answer lasts."""
        return msgspec.structs.replace(self, headers=_NO_HEADERS, body=None)

    @property
    def content_type(self) -> str:
        """The media type of the body, in lower case and without its parameters."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()


_NO_HEADERS = CIMultiDictProxy(CIMultiDict[str]())
