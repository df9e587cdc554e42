"""The key line of a WebSocket's upgrade, cut out of its request in the plainest form there is.

Invariant: what is left of one request is what is left of another only if the two differ in where
the line stands among the others, and in the key. The line is not looked for behind the head: what
is left of a request that has a body, or a second one behind it, is never a plain GET.
"""

from typing import Final

from bridge.web.stream_request import WEBSOCKET_KEY

_LINE: Final = f"\r\n{WEBSOCKET_KEY}: ".encode()
_SIZE: Final = 24
"""Characters of 16 bytes in base64."""
_WHOLE: Final = len(_LINE) + _SIZE


def cut_key(data: bytes) -> tuple[bytes, str] | None:
    """Return what is left of a request, and its key as it was sent: it may be wrong.

    None: the request has no such line, or more than a head.
    """
    start = data.find(_LINE)
    end = start + _WHOLE
    if start < 0 or not data.endswith(b"\r\n\r\n") or not data.startswith(b"\r\n", end):
        return None
    return data[:start] + data[end:], str(data[end - _SIZE : end], "latin-1")
