"""Requests: headers and messages of a call, sent as the peer's flow control allows.

Invariant: the request side of a stream ends with its only message, unless more may follow. Then it
is open until the call ends.
"""

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import h2

from .call import CallEnded
from .h2_engine import H2Engine
from .status import CallStatus
from .stream_buffer import frame_message

USER_AGENT: Final = f"livequery-bridge h2/{h2.__version__}"

Metadata = Iterable[tuple[str, str | bytes]]


@dataclass(frozen=True, slots=True)
class RequestForm:
    """What differs between methods. `more_follow`: more messages may come after the first."""

    content_type: str = "application/grpc"
    more_follow: bool = False


ONE_MESSAGE: Final = RequestForm()


def request_headers(
    *, scheme: str, authority: str, path: str, metadata: Metadata, content_type: str
) -> list[tuple[str, str]]:
    """Return the headers of a request in the order of "gRPC over HTTP2"."""
    return [
        (":method", "POST"),
        (":scheme", scheme),
        (":path", path),
        (":authority", authority),
        ("te", "trailers"),
        ("content-type", content_type),
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
        self._open: set[int] = set()  # streams on which more messages may follow

    def send(self, path: str, message: bytes, metadata: Metadata, form: RequestForm) -> int:
        """Send a request; return its stream.

        Raises CallEnded if the peer does not accept so much metadata, and H2Error if there is no
        stream left.
        """
        headers = request_headers(
            scheme=self._scheme,
            authority=self._authority,
            path=path,
            metadata=metadata,
            content_type=form.content_type,
        )
        max_size = self._engine.remote_settings.max_header_list_size
        if max_size is not None and header_list_size(headers) > max_size:
            raise CallEnded(CallStatus("RESOURCE_EXHAUSTED", "more metadata than the peer takes"))
        stream = self._engine.get_next_available_stream_id()
        self._engine.send_headers(stream, headers)
        if form.more_follow:
            self._open.add(stream)
        self._unsent[stream] = memoryview(frame_message(message))
        self._send_allowed(stream)
        return stream

    def send_more(self, stream: int, message: bytes) -> None:
        """Send another message of a request that is open; of any other, nothing."""
        if stream in self._open:
            rest = self._unsent.get(stream, b"")
            self._unsent[stream] = memoryview(bytes(rest) + frame_message(message))
            self._send_allowed(stream)

    def resume(self) -> None:
        """Send more of every unfinished request: a window has grown."""
        for stream in list(self._unsent):
            self._send_allowed(stream)

    def discard(self, stream: int) -> bool:
        """Drop what is unsent of a request; return whether our side of the stream is open."""
        is_open = stream in self._open
        self._open.discard(stream)
        return self._unsent.pop(stream, None) is not None or is_open

    def discard_all(self) -> None:
        """Drop what is unsent of every request."""
        self._unsent.clear()
        self._open.clear()

    def _send_allowed(self, stream: int) -> None:
        engine, rest = self._engine, self._unsent[stream]
        window = engine.local_flow_control_window(stream)
        last = stream not in self._open
        while rest and window > 0:
            size = min(len(rest), window, engine.max_outbound_frame_size)
            engine.send_data(stream, bytes(rest[:size]), end_stream=last and size == len(rest))
            rest = rest[size:]
            window -= size
        if rest:
            self._unsent[stream] = rest
        else:
            del self._unsent[stream]
