"""Session: the protocol state of one HTTP/2 connection, and its calls. No I/O, no clock.

Invariants:
- No call starts before the peer's first settings or after a GOAWAY.
- Calls that a GOAWAY excludes, and all calls at the end, fail as UNAVAILABLE at once.
- A cancelled call resets its stream at once.
- A call that breaks a limit of ours, or answers no gRPC, ends alone: its neighbours go on.
- h2 keeps settings, header compression, stream states and pings. It never sees DATA, which
  `frame_splitter` passes to the calls' buffers. It never sees GOAWAY, after which it would accept
  no frame of the calls that go on.
"""

import contextlib
import logging
import struct
from collections.abc import Callable
from typing import Any, Final

from h2.errors import ErrorCodes
from h2.events import (
    Event,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import H2Error

from . import call_status
from .call import Call, CallEnded
from .compression import IDENTITY
from .frame_splitter import CONNECTION_WINDOW, GOAWAY, FrameSplitter, window_update
from .h2_engine import H2Engine
from .peer import Peer
from .request import ONE_MESSAGE, Metadata, RequestForm, RequestSender
from .status import CallStatus
from .stream_buffer import ProtocolViolationError, StreamBuffer
from .wire_headers import FRAME_HEADER_SIZE

logger = logging.getLogger(__name__)

_DEFAULT_WINDOW: Final = 65_535
_GOAWAY: Final = struct.Struct(">II")
_GOAWAY_SIZE: Final = FRAME_HEADER_SIZE + _GOAWAY.size
_STREAM_MASK, _PING = 0x7FFFFFFF, b"livequer"


class Http2Session:
    """The client's side of one connection, from `start` to `close`.

    Args:
        authority: the `:authority` of requests.
        scheme: the `:scheme` of requests.
        peer: the replica, which remembers what was logged about it.
        write: sends bytes.
        on_settings: is called when settings of the peer have arrived.
        on_going_away: is called once, when no more calls can start.
        on_close: is called once, when no call goes on.

    """

    def __init__(
        self,
        *,
        authority: str,
        scheme: str,
        peer: Peer,
        write: Callable[[bytes], None],
        on_settings: Callable[[], None],
        on_going_away: Callable[[], None],
        on_close: Callable[[], None],
    ) -> None:
        self.closed: CallStatus | None = None
        """Why no call goes on; None while calls may."""
        self.going_away = False
        """Whether no more calls can start; those that are open go on."""
        self._peer = peer
        self._keepalive = peer.keepalive
        self._write = write
        self._on_peer_settings = on_settings
        self._on_going_away = on_going_away
        self._on_close = on_close
        self._engine = H2Engine()
        self._requests = RequestSender(self._engine, authority=authority, scheme=scheme)
        self._buffers: dict[int, StreamBuffer] = {}
        self._splitter = FrameSplitter(
            self._buffers,
            on_frame=self._on_frame,
            on_data_end=self._on_data_end,
            on_refused=lambda stream, refused: self._refuse(stream, refused.status),
            grant=lambda size: self._grant(0, size),
        )

    @property
    def open_calls(self) -> int:
        """Number of calls that run."""
        return len(self._buffers)

    @property
    def max_calls(self) -> int:
        """Number of concurrent calls that the peer allows; very high until it has said."""
        return self._engine.remote_settings.max_concurrent_streams

    # ------------------------------------------------------------ the connection

    def start(self) -> None:
        """Send the connection preface and our settings (RFC 9113, section 3.4)."""
        self._engine.initiate_connection()
        self._flush()
        self._grant(0, CONNECTION_WINDOW - _DEFAULT_WINDOW)

    def receive_data(self, data: bytes) -> int:
        """Process received bytes; return the number of DATA frames, about that of messages.

        Never raises: a peer that breaks the rules is logged once, and the session closes.
        """
        if self.closed is not None:
            return 0
        try:
            return self._splitter.feed(data)
        except Exception as error:  # noqa: BLE001 - h2 may fail on bytes that it did not foresee
            logger.info("tier %s breaks HTTP/2's rules: %r", self._peer.name, error)
            self.close("the peer breaks HTTP/2's rules", ErrorCodes.PROTOCOL_ERROR)
            return 0

    def ping(self) -> None:
        """Send a PING."""
        self._engine.ping(_PING)
        self._flush()

    def close(self, cause: str, error: ErrorCodes = ErrorCodes.NO_ERROR) -> None:
        """Fail every call and send GOAWAY. Idempotent."""
        if self.closed is not None:
            return
        self.closed = call_status.connection_lost_status(cause)
        buffers = list(self._buffers.values())
        self._buffers.clear()
        self._requests.discard_all()
        for buffer in buffers:
            buffer.finish(self.closed)
        with contextlib.suppress(H2Error):
            self._engine.close_connection(error)
        self._flush()
        self._on_close()

    def _grant(self, stream: int, size: int) -> None:
        if self.closed is None:
            self._write(window_update(stream, size))

    def _flush(self) -> None:
        if data := self._engine.data_to_send():
            self._write(data)

    # ------------------------------------------------------------ calls, from our side

    def start_call(
        self, path: str, message: bytes, metadata: Metadata, form: RequestForm = ONE_MESSAGE
    ) -> Call:
        """Send a request. Raises CallEnded if no call can start."""
        if self.closed is not None or self.going_away:
            raise CallEnded(
                self.closed
                or call_status.connection_lost_status("the connection takes no more calls")
            )
        try:
            stream = self._requests.send(path, message, metadata, form)
        except H2Error as error:  # no stream identifier is left, for example
            self.going_away = True
            self._on_going_away()
            self._close_if_unused()
            raise CallEnded(
                call_status.connection_lost_status(f"no call can begin: {error}")
            ) from None
        buffer = self._buffers[stream] = StreamBuffer(lambda size: self._grant(stream, size))
        self._flush()
        return Call(buffer, lambda: self._cancel(stream), lambda more: self._send(stream, more))

    def _send(self, stream: int, message: bytes) -> None:
        self._requests.send_more(stream, message)
        self._flush()

    def _cancel(self, stream: int) -> None:
        if self._buffers.pop(stream, None) is not None:
            self._reset(stream, ErrorCodes.CANCEL)

    def _reset(self, stream: int, error: ErrorCodes) -> None:
        self._requests.discard(stream)
        with contextlib.suppress(H2Error):  # h2 may have closed the stream by itself
            self._engine.reset_stream(stream, error)
        self._flush()
        self._close_if_unused()

    def _refuse(self, stream: int, status: CallStatus) -> None:
        """End a call that can't go on. The cause is logged once per replica and code."""
        buffer = self._buffers.get(stream)
        if buffer is None:
            return
        self._cancel(stream)
        buffer.finish(status)
        self._warn_once(status)

    def _warn_once(self, status: CallStatus) -> None:
        self._peer.warn_once(("refused", status.code), f"a call can't go on: {status.text}")

    # ------------------------------------------------------------ calls, from the peer's side

    def _finish(self, stream: int, status: CallStatus) -> None:
        buffer = self._buffers.pop(stream, None)
        if buffer is None:
            return
        buffer.finish(status)
        if self._requests.discard(stream):
            self._reset(stream, ErrorCodes.NO_ERROR)
        self._close_if_unused()

    def _close_if_unused(self) -> None:
        """Close the session if no call can start and none is open."""
        if self.going_away and not self._buffers:
            self.close("the peer has ended the connection")

    def _on_frame(self, kind: int, frame: bytes) -> None:
        if self.closed is not None:
            return
        if kind == GOAWAY:
            self._on_goaway(frame)
            return
        for event in self._engine.receive_data(frame):
            handle = _HANDLERS.get(type(event))
            if handle is not None:
                handle(self, event)
        self._flush()

    def _on_goaway(self, frame: bytes) -> None:
        if len(frame) < _GOAWAY_SIZE:
            raise ProtocolViolationError("a GOAWAY too short")
        last, error = _GOAWAY.unpack_from(frame, FRAME_HEADER_SIZE)
        self.going_away = True
        self._on_going_away()
        if error:
            self._peer.on_goaway(error, frame[_GOAWAY_SIZE:], self._keepalive)
        status = call_status.connection_lost_status("the peer has ended the connection")
        for stream in [stream for stream in self._buffers if stream > last & _STREAM_MASK]:
            self._finish(stream, status)
        self._close_if_unused()

    def _on_settings(self, _: RemoteSettingsChanged) -> None:
        self._on_peer_settings()
        self._requests.resume()

    def _on_window(self, _: WindowUpdated) -> None:
        self._requests.resume()

    def _on_response(self, event: ResponseReceived) -> None:
        too_large = self._check_size(event.headers)
        headers = call_status.decode_headers(event.headers)
        status = too_large or call_status.status_of_trailers(headers)
        refusal = too_large or call_status.status_of_response(headers)
        if event.stream_ended is not None:
            self._finish(event.stream_id, status or refusal or call_status.NO_STATUS)
        elif refusal is not None:
            self._refuse(event.stream_id, status or refusal)
        elif (buffer := self._buffers.get(event.stream_id)) is not None:
            buffer.coding = headers.get("grpc-encoding", IDENTITY)

    def _on_trailers(self, event: TrailersReceived) -> None:
        status = self._check_size(event.headers) or call_status.status_of_trailers(
            call_status.decode_headers(event.headers)
        )
        self._finish(event.stream_id, status or call_status.NO_STATUS)

    def _check_size(self, headers: call_status.Headers) -> CallStatus | None:
        """Return the status of the call if its headers or trailers are too large."""
        status = call_status.status_of_size(headers)
        if status is not None:
            self._warn_once(status)
        return status

    def _on_ended(self, event: StreamEnded) -> None:
        self._finish(event.stream_id, call_status.NO_STATUS)

    def _on_data_end(self, stream: int) -> None:
        self._finish(stream, call_status.NO_STATUS)
        self._reset(stream, ErrorCodes.NO_ERROR)  # h2 has not seen the END_STREAM

    def _on_reset(self, event: StreamReset) -> None:
        self._finish(event.stream_id, call_status.status_of_reset(event.error_code))


_HANDLERS: Final[dict[type[Event], Callable[[Http2Session, Any], None]]] = {
    RemoteSettingsChanged: Http2Session._on_settings,  # noqa: SLF001 - the table belongs to the class
    WindowUpdated: Http2Session._on_window,  # noqa: SLF001
    ResponseReceived: Http2Session._on_response,  # noqa: SLF001
    TrailersReceived: Http2Session._on_trailers,  # noqa: SLF001
    StreamEnded: Http2Session._on_ended,  # noqa: SLF001
    StreamReset: Http2Session._on_reset,  # noqa: SLF001
}
