"""Requests: headers and message of a call, sent as the peer's flow control allows."""

import base64
from collections.abc import Iterable
from typing import Final

import h2

from .call import CallEnded
from .h2_engine import H2Engine
from .status import CallStatus
from .stream_buffer import frame_message

USER_AGENT: Final = f"livequery-bridge h2/{h2.__version__}"

Metadata = Iterable[tuple[str, str | bytes]]


def request_headers(
    *, scheme: str, authority: str, path: str, metadata: Metadata
) -> list[tuple[str, str]]:
    """Return the headers of a request in the order of "gRPC over HTTP2"."""
    return [
        (":method", "POST"),
        (":scheme", scheme),
        (":path", path),
        (":authority", authority),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", USER_AGENT),
        ("grpc-accept-encoding", "identity"),
        *((name, _encode_value(name, value)) for name, value in metadata),
    ]


def _encode_value(name: str, value: str | bytes) -> str:
    if name.endswith("-bin"):
        octets = value.encode() if isinstance(value, str) else value
        return base64.b64encode(octets).decode().rstrip("=")
    return value if isinstance(value, str) else value.decode("ascii")


def header_list_size(headers: Iterable[tuple[str, str]]) -> int:
    """Return the size of a header list as a peer counts it (RFC 9113, section 6.5.2)."""
    return sum(len(name) + len(value) + 32 for name, value in headers)


class RequestSender:
    """Sends requests through the engine; keeps what is beyond the peer's window.

    `authority` and `scheme` are what requests are addressed with.
    """

    def __init__(self, engine: H2Engine, *, authority: str, scheme: str) -> None:
        self._engine = engine
        self._authority = authority
        self._scheme = scheme
        self._unsent: dict[int, memoryview] = {}

    def send(self, path: str, message: bytes, metadata: Metadata) -> int:
        """Send a request of one message; return its stream.

        Raises CallEnded if the peer does not accept so much metadata, and H2Error if there is no
        stream left.
        """
        headers = request_headers(
            scheme=self._scheme, authority=self._authority, path=path, metadata=metadata
        )
        max_size = self._engine.remote_settings.max_header_list_size
        if max_size is not None and header_list_size(headers) > max_size:
            raise CallEnded(CallStatus("RESOURCE_EXHAUSTED", "more metadata than the peer takes"))
        stream = self._engine.get_next_available_stream_id()
        self._engine.send_headers(stream, headers)
        self._unsent[stream] = memoryview(frame_message(message))
        self._send_allowed(stream)
        return stream

    def resume(self) -> None:
        """Send more of every unfinished request: a window has grown."""
        for stream in list(self._unsent):
            self._send_allowed(stream)

    def discard(self, stream: int) -> bool:
        """Drop what is unsent of a request; return whether there was any."""
        return self._unsent.pop(stream, None) is not None

    def discard_all(self) -> None:
        """Drop what is unsent of every request."""
        self._unsent.clear()

    def _send_allowed(self, stream: int) -> None:
        engine, rest = self._engine, self._unsent[stream]
        window = engine.local_flow_control_window(stream)
        while rest and window > 0:
            size = min(len(rest), window, engine.max_outbound_frame_size)
            engine.send_data(stream, bytes(rest[:size]), end_stream=size == len(rest))
            rest = rest[size:]
            window -= size
        if rest:
            self._unsent[stream] = rest
        else:
            del self._unsent[stream]
