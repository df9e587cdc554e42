"""The opening handshake of a WebSocket, on the server's side (RFC 6455 §4.2)."""

import base64
import binascii
import hashlib
from time import time
from typing import Final

from multidict import CIMultiDictProxy

from bridge.web.http.response_headers import http_date, response_headers
from bridge.web.settings import WebSettings
from bridge.web.stream_log import V1_WS
from bridge.web.stream_request import StreamRequest
from bridge.wire.v1_commands import SUBPROTOCOL

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_VERSIONS: Final = ("13", "8", "7")
_KEY_SIZE: Final = 16


def is_valid_upgrade(headers: CIMultiDictProxy[str]) -> bool:
    """Whether key and version of an upgrade request are right."""
    try:
        key = base64.b64decode(headers.get("Sec-WebSocket-Key", ""))
    except binascii.Error:
        return False
    return len(key) == _KEY_SIZE and headers.get("Sec-WebSocket-Version") in _VERSIONS


def accept_key(key: str) -> str:
    """Return Sec-WebSocket-Accept for a key."""
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()  # noqa: S324 - RFC 6455's own


def upgrade_head(request: StreamRequest, settings: WebSettings) -> bytes:
    """Print the 101 response. Without compression, for it would encode again for each client."""
    fields = {"Sec-WebSocket-Accept": accept_key(request.headers["Sec-WebSocket-Key"])}
    if request.protocol is V1_WS:
        fields["Sec-WebSocket-Protocol"] = SUBPROTOCOL
    fields["Date"] = http_date(int(time()))
    fields |= response_headers(request.request_id, settings, request.foreign_origin)
    lines = "".join([f"{name}: {value}\r\n" for name, value in fields.items()])
    return f"{_SWITCHING}{lines}\r\n".encode()


_SWITCHING: Final = (
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
)
