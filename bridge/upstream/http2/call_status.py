"""Call status from HTTP/2: trailers, response headers and resets.

The tables are gRPC's: "gRPC over HTTP2" (error codes of RST_STREAM) and "HTTP to gRPC Status Code
Mapping" (responses of proxies that are not gRPC). A status by these tables is derived: no tier said
it. So is that of a stream without a status, and of a lost connection.
"""

import base64
import binascii
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote

from h2.errors import ErrorCodes

from bridge.core.errors import StatusSource

from .h2_engine import MAX_HEADER_LIST
from .status import CallStatus

_NAMES: Final = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
    "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED",
    "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip
_CODES: Final = {str(number): name for number, name in enumerate(_NAMES)}
_HTTP: Final = {
    "400": "INTERNAL",
    "401": "UNAUTHENTICATED",
    "403": "PERMISSION_DENIED",
    "404": "UNIMPLEMENTED",
    "429": "UNAVAILABLE",
    "502": "UNAVAILABLE",
    "503": "UNAVAILABLE",
    "504": "UNAVAILABLE",
}
_RESET: Final = {
    ErrorCodes.NO_ERROR: "INTERNAL",
    ErrorCodes.PROTOCOL_ERROR: "INTERNAL",
    ErrorCodes.INTERNAL_ERROR: "INTERNAL",
    ErrorCodes.FLOW_CONTROL_ERROR: "INTERNAL",
    ErrorCodes.SETTINGS_TIMEOUT: "INTERNAL",
    ErrorCodes.FRAME_SIZE_ERROR: "INTERNAL",
    ErrorCodes.REFUSED_STREAM: "UNAVAILABLE",
    ErrorCodes.CANCEL: "CANCELLED",
    ErrorCodes.COMPRESSION_ERROR: "INTERNAL",
    ErrorCodes.CONNECT_ERROR: "INTERNAL",
    ErrorCodes.ENHANCE_YOUR_CALM: "RESOURCE_EXHAUSTED",
    ErrorCodes.INADEQUATE_SECURITY: "PERMISSION_DENIED",
}

NO_STATUS: Final = CallStatus(
    "UNKNOWN", "the peer ended the stream without a status", source=StatusSource.STREAM
)

Headers = Iterable[tuple[bytes, bytes]]


def status_of_size(headers: Headers) -> CallStatus | None:
    """Return the status if headers or trailers are larger than was allowed (RFC 9113, 6.5.2)."""
    size = sum(len(name) + len(value) + 32 for name, value in headers)
    if size <= MAX_HEADER_LIST:
        return None
    text = f"headers or trailers of {size} bytes, {MAX_HEADER_LIST} are allowed"
    return CallStatus("INTERNAL", text)


def decode_headers(headers: Headers) -> dict[str, str]:
    """Decode headers or trailers; of repeated names the last value counts."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}


def status_of_response(headers: dict[str, str]) -> CallStatus | None:
    """Return the status if a response is not gRPC; None if the call goes on."""
    http = headers.get(":status", "")
    if http == "200" and headers.get("content-type", "").startswith("application/grpc"):
        return None
    text = f"HTTP status {http}, and no gRPC"
    return CallStatus(_HTTP.get(http, "UNKNOWN"), text, source=StatusSource.RESPONSE)


def status_of_trailers(trailers: dict[str, str]) -> CallStatus | None:
    """Return the status in a call's trailers; None if there is none."""
    number = trailers.get("grpc-status")
    if number is None:
        return None
    return CallStatus(
        _CODES.get(number, "UNKNOWN"),
        unquote(trailers.get("grpc-message", ""), errors="replace"),
        _details(trailers.get("grpc-status-details-bin", "")),
    )


def status_of_reset(error: int) -> CallStatus:
    """Return the status for the error code of a RST_STREAM."""
    code = _RESET.get(ErrorCodes(error), "UNKNOWN") if error in set(ErrorCodes) else "UNKNOWN"
    text = f"the stream was reset with HTTP/2 error {error}"
    return CallStatus(code, text, source=StatusSource.STREAM)


def connection_lost_status(cause: str) -> CallStatus:
    """Return the status of calls on a lost connection."""
    return CallStatus("UNAVAILABLE", cause, source=StatusSource.CONNECTION)


def _details(text: str) -> bytes:
    # Senders may leave out the padding ("gRPC over HTTP2", Binary-Header).
    try:
        return base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))
    except (binascii.Error, ValueError):
        return b""
