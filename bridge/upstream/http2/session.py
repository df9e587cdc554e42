"""Session: what is said on one HTTP/2 connection, and the calls it carries. No I/O, no clock.

Laws: no call begins before the peer's first settings or after a GOAWAY; those that a GOAWAY leaves
out, and all at the end, fail as UNAVAILABLE at once; a call that is cancelled is reset at once.
h2 keeps settings, header compression, stream states and pings. It is never shown DATA, whose short
way is in `frames`, nor GOAWAY, after which it would take no frame of the calls that go on.
"""

import contextlib
import logging
import struct
from collections.abc import Callable
from typing import Any, ClassVar, Final

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
from .call import Call, CallEnded, Metadata, list_size, request_headers
from .frame_splitter import CONNECTION_WINDOW, GOAWAY, HEAD_SIZE, FrameSplitter, window_update
from .h2_engine import H2Engine
from .status import CallStatus
from .stream_buffer import MessageRefusedError, StreamBuffer, ViolationError, frame_message

logger = logging.getLogger(__name__)

_DEFAULT_WINDOW: Final = 65_535
_GOAWAY: Final = struct.Struct(">II")
_STREAM: Final = 0x7FFFFFFF
_PING: Final = b"livequer"
_SILENT: Final = CallStatus("UNKNOWN", "the peer ended the stream without a status")


class Http2Session:
    """One connection's, from `hello` to `end`.

    Args:
        authority: what requests are addressed with, as is `scheme`.
        name: whom the log calls the peer.
        write: sends bytes.
        on_settings: is told when the peer's settings have come.
        on_end: is told once that it is over.

    """

    def __init__(
        self,
        *,
        authority: str,
        scheme: str,
        name: str,
        write: Callable[[bytes], None],
        on_settings: Callable[[], None],
        on_end: Callable[[], None],
    ) -> None:
        self.ended: CallStatus | None = None
        """Why no call goes on; None while calls may."""
        self.leaving = False
        """Whether the peer takes no more calls."""
        self._authority = authority
        self._scheme = scheme
        self._name = name
        self._write = write
        self._on_settings_seen = on_settings
        self._on_end = on_end
        self._engine = H2Engine()
        self._inboxes: dict[int, StreamBuffer] = {}
        self._unsent: dict[int, memoryview] = {}  # of requests, beyond the peer's window
        self._split = FrameSplitter(
            self._inboxes,
            control=self._control,
            ended=self._on_data_ended,
            refuse=self._refuse,
            grant=lambda size: self._grant(0, size),
        ).feed

    @property
    def calls(self) -> int:
        """How many calls run."""
        return len(self._inboxes)

    @property
    def limit(self) -> int:
        """How many calls at once the peer allows; many, as long as it has not said."""
        return self._engine.remote_settings.max_concurrent_streams

    # ------------------------------------------------------------ the connection

    def hello(self) -> None:
        """Say what a client says first."""
        self._engine.initiate_connection()
        self._flush()
        self._grant(0, CONNECTION_WINDOW - _DEFAULT_WINDOW)

    def feed(self, data: bytes) -> int:
        """Take what has arrived; returns about how many messages there were in it.

        Never raises: what breaks the rules is the end, and told once.
        """
        if self.ended is not None:
            return 0
        try:
            return self._split(data)
        except Exception as error:  # noqa: BLE001 - h2 may stumble over bytes it did not foresee
            logger.info("tier %s breaks HTTP/2's rules: %r", self._name, error)
            self.end("the peer breaks HTTP/2's rules", ErrorCodes.PROTOCOL_ERROR)
            return 0

    def ping(self) -> None:
        """Ask for a sign of life."""
        self._engine.ping(_PING)
        self._flush()

    def end(self, cause: str, error: ErrorCodes = ErrorCodes.NO_ERROR) -> None:
        """End every call, and say goodbye. Idempotent."""
        if self.ended is not None:
            return
        self.ended = call_status.connection_lost_status(cause)
        inboxes = list(self._inboxes.values())
        self._inboxes.clear()
        self._unsent.clear()
        for inbox in inboxes:
            inbox.finish(self.ended)
        with contextlib.suppress(H2Error):
            self._engine.close_connection(error)
        self._flush()
        self._on_end()

    def _grant(self, stream: int, size: int) -> None:
        if self.ended is None:
            self._write(window_update(stream, size))

    def _flush(self) -> None:
        if data := self._engine.data_to_send():
            self._write(data)

    # ------------------------------------------------------------ calls, from our side

    def call(self, path: str, message: bytes, metadata: Metadata) -> Call:
        """Begin a call. Raises CallEnded where none can begin."""
        if self.ended is not None or self.leaving:
            raise CallEnded(
                self.ended
                or call_status.connection_lost_status("the connection takes no more calls")
            )
        headers = request_headers(
            scheme=self._scheme, authority=self._authority, path=path, metadata=metadata
        )
        most = self._engine.remote_settings.max_header_list_size
        if most is not None and list_size(headers) > most:
            raise CallEnded(CallStatus("RESOURCE_EXHAUSTED", "more metadata than the peer takes"))
        try:
            stream = self._engine.get_next_available_stream_id()
            self._engine.send_headers(stream, headers)
        except H2Error as error:  # out of stream numbers, say: another connection has some
            self.leaving = True
            self._leave()
            raise CallEnded(
                call_status.connection_lost_status(f"no call can begin: {error}")
            ) from None
        inbox = self._inboxes[stream] = StreamBuffer(lambda size: self._grant(stream, size))
        self._unsent[stream] = memoryview(frame_message(message))
        self._send(stream)
        self._flush()
        return Call(inbox, lambda: self._cancel(stream))

    def _send(self, stream: int) -> None:
        """Send what the peer's window allows of a request."""
        engine, rest = self._engine, self._unsent[stream]
        room = engine.local_flow_control_window(stream)
        while rest and room > 0:
            size = min(len(rest), room, engine.max_outbound_frame_size)
            engine.send_data(stream, bytes(rest[:size]), end_stream=size == len(rest))
            rest = rest[size:]
            room -= size
        if rest:
            self._unsent[stream] = rest
        else:
            del self._unsent[stream]

    def _cancel(self, stream: int) -> None:
        if self._inboxes.pop(stream, None) is not None:
            self._reset(stream, ErrorCodes.CANCEL)

    def _reset(self, stream: int, error: ErrorCodes) -> None:
        self._unsent.pop(stream, None)
        with contextlib.suppress(H2Error):  # h2 may have ended it of itself
            self._engine.reset_stream(stream, error)
        self._flush()
        self._leave()

    def _refuse(self, stream: int, refused: MessageRefusedError) -> None:
        inbox = self._inboxes.get(stream)
        if inbox is not None:
            self._cancel(stream)
            inbox.finish(refused.status)

    # ------------------------------------------------------------ calls, from the peer's

    def _finish(self, stream: int, status: CallStatus) -> None:
        inbox = self._inboxes.pop(stream, None)
        if inbox is None:
            return
        inbox.finish(status)
        if stream in self._unsent:
            self._reset(stream, ErrorCodes.NO_ERROR)
        self._leave()

    def _leave(self) -> None:
        """End a connection that takes no more calls and has none."""
        if self.leaving and not self._inboxes:
            self.end("the peer has ended the connection")

    def _control(self, kind: int, frame: bytes) -> None:
        if self.ended is not None:
            return
        if kind == GOAWAY:
            self._on_goaway(frame)
            return
        for event in self._engine.receive_data(frame):
            handle = self._HANDLERS.get(type(event))
            if handle is not None:
                handle(self, event)
        self._flush()

    def _on_goaway(self, frame: bytes) -> None:
        if len(frame) < HEAD_SIZE + _GOAWAY.size:
            raise ViolationError("a GOAWAY too short")
        last, error = _GOAWAY.unpack_from(frame, HEAD_SIZE)
        self.leaving = True
        if error:
            logger.warning("tier %s ends a connection: HTTP/2 error %d", self._name, error)
        for stream in [stream for stream in self._inboxes if stream > last & _STREAM]:
            self._finish(
                stream, call_status.connection_lost_status("the peer has ended the connection")
            )
        self._leave()

    def _on_settings(self, _: RemoteSettingsChanged) -> None:
        self._on_settings_seen()
        self._resume()

    def _on_window(self, _: WindowUpdated) -> None:
        self._resume()

    def _resume(self) -> None:
        for stream in list(self._unsent):
            self._send(stream)

    def _on_response(self, event: ResponseReceived) -> None:
        headers = call_status.decode_headers(event.headers)
        told, refusal = (
            call_status.status_of_trailers(headers),
            call_status.status_of_response(headers),
        )
        if event.stream_ended is not None:
            self._finish(event.stream_id, told or refusal or _SILENT)
        elif refusal is not None:
            self._refuse(event.stream_id, MessageRefusedError(told or refusal))

    def _on_trailers(self, event: TrailersReceived) -> None:
        self._finish(
            event.stream_id,
            call_status.status_of_trailers(call_status.decode_headers(event.headers)) or _SILENT,
        )

    def _on_ended(self, event: StreamEnded) -> None:
        self._finish(event.stream_id, _SILENT)

    def _on_data_ended(self, stream: int) -> None:
        self._finish(stream, _SILENT)
        self._reset(stream, ErrorCodes.NO_ERROR)  # h2 has not seen the end

    def _on_reset(self, event: StreamReset) -> None:
        self._finish(event.stream_id, call_status.status_of_reset(event.error_code))

    _HANDLERS: ClassVar[dict[type[Event], Callable[[Any, Any], None]]] = {
        RemoteSettingsChanged: _on_settings,
        WindowUpdated: _on_window,
        ResponseReceived: _on_response,
        TrailersReceived: _on_trailers,
        StreamEnded: _on_ended,
        StreamReset: _on_reset,
    }
