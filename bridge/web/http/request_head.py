"""Plain: the head of a GET, where it is of the plainest form there is (RFC 9112, §2 to §6).

What browsers and programs send for a stream or a socket is: visible ASCII, no body, nothing folded
or repeated that could be read two ways. What does not match is left to a real parser.
"""

import re
from typing import Final, NamedTuple

from multidict import CIMultiDict, CIMultiDictProxy

_MOST: Final = 8 * 1024
"""Bytes: no line in it is over any limit."""
_HEAD: Final = re.compile(
    rb"GET (/[!-\"$-~]*+) HTTP/1\.1\r\n"
    rb"((?:[!#$%&'*+.^_`|~0-9A-Za-z-]++:[\t -~]*+\r\n){0,64}+)\r\n"
)
_NOT_PLAIN: Final = (
    "Content-Length",
    "Transfer-Encoding",
    "Expect",
    "Proxy-Connection",
    "Sec-WebSocket-Key1",
)
_KEPT: Final = ([""], ["keep-alive"])
_SWITCHED: Final = (["upgrade"], ["keep-alive", "upgrade"])


class RequestHead(NamedTuple):
    """A request without a body that the client would keep its connection after."""

    target: str
    """As it was sent."""
    headers: CIMultiDictProxy[str]
    upgrade: bool
    """Whether it asks for a WebSocket."""


def parse_plain_head(data: bytes) -> RequestHead | None:
    """Read a whole request; None where it is more, less, or anything but plain."""
    if len(data) > _MOST:
        return None
    match = _HEAD.fullmatch(data)
    if match is None:
        return None
    pairs = []
    for line in match[2].decode("ascii").split("\r\n")[:-1]:
        name, _, value = line.partition(":")
        pairs.append((name, value.strip()))
    headers = CIMultiDict(pairs)
    for name in _NOT_PLAIN:
        if name in headers:
            return None
    if "Host" not in headers or len({name.lower() for name, _ in pairs}) != len(pairs):
        return None
    upgrade = headers.get("Upgrade")
    tokens = [token.strip() for token in headers.get("Connection", "").lower().split(",")]
    wanted = _KEPT if upgrade is None else _SWITCHED
    if tokens not in wanted or (upgrade is not None and upgrade.lower() != "websocket"):
        return None
    return RequestHead(match[1].decode("ascii"), CIMultiDictProxy(headers), upgrade is not None)
