"""RequestHead: one whole request, if it is of the plainest form there is (RFC 9112 §2 to §6).

Browsers and programs ask for streams and WebSockets in this form: HTTP/1.1, visible ASCII, nothing
folded, nothing repeated, a body only with Content-Length. What does not match, right or wrong, is
left to aiohttp's parser. A pattern reads it: with cold caches a parser with callbacks takes half as
long again (docs/performance.md).
"""

import re
from typing import Final, NamedTuple

from multidict import CIMultiDict, CIMultiDictProxy

MAX_REQUEST: Final = 32 * 1024
"""Bytes of a whole request."""
MAX_HEAD: Final = 8 * 1024
"""Bytes of a head: no line in it is over any limit."""
_HEAD: Final = re.compile(
    rb"(GET|POST) (/[!-\"$-~]*+) HTTP/1\.1\r\n"
    rb"((?:[!#$%&'*+.^_`|~0-9A-Za-z-]++:[\t -~]*+\r\n){0,64}+)\r\n"
)
_NOT_PLAIN: Final = (
    "Transfer-Encoding",
    "Content-Encoding",
    "Expect",
    "Proxy-Connection",
    "Sec-WebSocket-Key1",
)
_CONNECTIONS: Final = {"": True, "keep-alive": True, "close": False}
"""Values of Connection: whether the client would use the connection again."""
_UPGRADES: Final = (["upgrade"], ["keep-alive", "upgrade"])


class RequestHead(NamedTuple):
    """A whole request."""

    method: str
    """GET or POST."""
    target: str
    """As it was sent."""
    headers: CIMultiDictProxy[str]
    body: bytes | None
    """None: it is a GET."""
    keep_alive: bool
    """Whether the client would use the connection again."""
    upgrade: bool
    """Whether it asks for a WebSocket."""


def parse_request(data: bytes) -> RequestHead | None:
    """Read a request; None where `data` is more, less, or anything but plain."""
    if len(data) > MAX_REQUEST:
        return None
    match = _HEAD.match(data, 0, MAX_HEAD)
    if match is None:
        return None
    headers = _headers(match[3].decode("ascii").split("\r\n")[:-1])
    if headers is None:
        return None
    method, target = match[1].decode("ascii"), match[2].decode("ascii")
    return _request(method, target, headers, data[match.end() :])


def _headers(lines: list[str]) -> CIMultiDictProxy[str] | None:
    pairs, names = [], set()
    for line in lines:
        name, _, value = line.partition(":")
        pairs.append((name, value.strip()))
        names.add(name.lower())
    headers = CIMultiDict(pairs)
    for name in _NOT_PLAIN:
        if name in headers:
            return None
    if "Host" not in headers or len(names) != len(pairs):
        return None
    return CIMultiDictProxy(headers)


def _request(
    method: str, target: str, headers: CIMultiDictProxy[str], body: bytes
) -> RequestHead | None:
    upgrade, has_body = headers.get("Upgrade"), "Content-Length" in headers
    keep_alive = _keep_alive(headers.get("Connection", "").lower(), upgrade)
    if keep_alive is None or has_body is not (method == "POST"):
        return None
    if headers.get("Content-Length", "0") != str(len(body)) or (has_body and upgrade is not None):
        return None
    whole = body if has_body else None
    return RequestHead(method, target, headers, whole, keep_alive, upgrade is not None)


def _keep_alive(connection: str, upgrade: str | None) -> bool | None:
    """Whether the client would use the connection again; None where that is not plain."""
    if upgrade is None:
        return _CONNECTIONS.get(connection)
    tokens = [token.strip() for token in connection.split(",")]
    return True if tokens in _UPGRADES and upgrade.lower() == "websocket" else None
