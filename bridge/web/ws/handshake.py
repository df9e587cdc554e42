"""The opening handshake of a WebSocket, on the server's side (RFC 6455 §4.2)."""

import binascii
import hashlib
from functools import lru_cache
from time import time
from typing import Final

from aiohttp import HttpVersion11, web
from multidict import CIMultiDictProxy

from bridge.web.http.response_headers import common_fields, http_date
from bridge.web.settings import WebSettings
from bridge.web.stream_log import V1_WS
from bridge.web.stream_request import WEBSOCKET_KEY, StreamRequest
from bridge.wire.v1_commands import SUBPROTOCOL

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_NEWEST: Final = "13"
_VERSIONS: Final = frozenset([_NEWEST, "8", "7"])
_KEY_SIZE: Final = 16


def check_upgrade(request: web.Request) -> None:
    """Check a request that aiohttp has read.

    Raises:
        HTTPUpgradeRequired: it asks for another version (RFC 6455 §4.4).
        HTTPBadRequest: it asks for no WebSocket, or the rest of it is wrong.

    """
    headers = request.headers
    if "websocket" not in _tokens(headers, "Upgrade") or "upgrade" not in _tokens(
        headers, "Connection"
    ):
        raise web.HTTPBadRequest
    if not _VERSIONS.issuperset(headers.getall("Sec-WebSocket-Version", ())):
        raise web.HTTPUpgradeRequired(headers={"Sec-WebSocket-Version": _NEWEST})
    if request.version < HttpVersion11 or not is_valid_upgrade(headers):
        raise web.HTTPBadRequest


def _tokens(headers: CIMultiDictProxy[str], name: str) -> list[str]:
    """Return the members of a list field, in lower case; its lines are one list."""
    return [token.strip() for token in ",".join(headers.getall(name, ())).lower().split(",")]


def is_valid_upgrade(headers: CIMultiDictProxy[str]) -> bool:
    """Whether key and version of an upgrade request are right, and there once."""
    keys = headers.getall(WEBSOCKET_KEY, ())
    versions = headers.getall("Sec-WebSocket-Version", ())
    if len(keys) != 1 or len(versions) != 1:
        return False
    return versions[0] in _VERSIONS and is_valid_key(keys[0])


def is_valid_key(key: str) -> bool:
    """Whether it is 16 bytes in base64."""
    try:
        return len(binascii.a2b_base64(key, strict_mode=True)) == _KEY_SIZE
    except ValueError:  # no base64, or no ASCII
        return False


def accept_key(key: str) -> str:
    """Return Sec-WebSocket-Accept for a key."""
    # No secret: it shows that the server speaks WebSocket.
    digest = hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()
    return binascii.b2a_base64(digest, newline=False).decode()


def upgrade_head(request: StreamRequest, settings: WebSettings) -> bytes:
    """Print the 101 response. Without compression, for it would encode again for each client."""
    head = _upgrade_head(
        int(time()),
        request.protocol is V1_WS,
        bool(settings.allowed_origins),
        request.foreign_origin,
    )
    key = accept_key(request.websocket_key)
    own = f"Sec-WebSocket-Accept: {key}\r\nX-Request-Id: {request.request_id}\r\n\r\n"
    return head + own.encode()


@lru_cache(16)
def _upgrade_head(second: int, v1: bool, any_allowed: bool, foreign_origin: str | None) -> bytes:  # noqa: FBT001 - keys of the cache
    """Print all but key and request id: it is the same for all upgrades of one second."""
    fields = {"Date": http_date(second), **common_fields(any_allowed, foreign_origin)}
    if v1:
        fields["Sec-WebSocket-Protocol"] = SUBPROTOCOL
    lines = "".join([f"{name}: {value}\r\n" for name, value in fields.items()])
    return f"{_SWITCHING}{lines}".encode()


_SWITCHING: Final = (
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
)
