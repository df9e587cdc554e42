"""Connection: one HTTP/2 connection to a replica, and the calls on it.

Laws: calls begin only once the peer's first settings are here, and never after a GOAWAY; those
that a GOAWAY leaves out, and all when the connection ends, fail as UNAVAILABLE at once; a call is
told to the peer as reset the moment it is cancelled. Nothing a peer sends raises out of here.
h2 keeps settings, header compression, stream states and pings. It is never shown DATA, whose short
way is in `frames`, nor GOAWAY, after which it would take no frame of the calls that go on.
"""

import asyncio
import contextlib
import logging
import socket
import struct
from collections.abc import Callable, Coroutine
from typing import Any, Final

from h2.config import H2Configuration
from h2.connection import H2Connection
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
from h2.settings import SettingCodes, Settings

from ..status import Status
from . import outcome
from .call import Call, CallEnded, Metadata, list_size, request_headers
from .frames import CONNECTION_WINDOW, GOAWAY, HEAD_SIZE, Splitter, window_update
from .inbox import WINDOW, Inbox, Refused, ViolationError, framed
from .keepalive import Keepalive, Pulse

logger = logging.getLogger(__name__)

DEADLINE: Final = 2.0
"""Seconds to connect: TCP, TLS and the peer's first settings."""
FAREWELL: Final = 1.0
"""Seconds a closed connection may take to say goodbye."""
_DEFAULT_WINDOW: Final = 65_535
_MAX_HEADERS: Final = 64 * 1024
_GOAWAY: Final = struct.Struct(">II")

Dial = Callable[[Callable[[], asyncio.Protocol]], Coroutine[Any, Any, Any]]
"""Connects a protocol. Raises OSError (ssl.SSLError is one)."""


class _Engine(H2Connection):
    # h2 remembers how streams ended, for frames that cross a reset: a few thousand are enough.
    MAX_CLOSED_STREAMS = 4096

    def __init__(self) -> None:
        # A header that is odd is its call's trouble and not the connection's.
        super().__init__(H2Configuration(header_encoding=None, validate_inbound_headers=False))
        self.local_settings = Settings(
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.INITIAL_WINDOW_SIZE: WINDOW,
                SettingCodes.MAX_HEADER_LIST_SIZE: _MAX_HEADERS,
            }
        )


class Connection(asyncio.Protocol):
    """Connects from the start, once; where that fails, or it ends, another one is made.

    `authority` and `scheme` are what requests are addressed with.
    """

    def __init__(
        self, dial: Dial, *, authority: str, scheme: str, keepalive: Keepalive, name: str
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._authority = authority
        self._scheme = scheme
        self._keepalive = keepalive
        self._name = name
        self._engine = _Engine()
        self._inboxes: dict[int, Inbox] = {}
        self._unsent: dict[int, memoryview] = {}  # of requests, beyond the peer's window
        self._transport: asyncio.Transport | None = None
        self._end: Status | None = None
        self._leaving = False
        self._heard = 0.0
        self._settled = self._loop.create_future()
        self._gone = asyncio.Event()
        self._farewell: asyncio.TimerHandle | None = None
        self._feed = Splitter(
            self._inboxes,
            control=self._control,
            refuse=self._on_refused,
            grant=lambda size: self._grant(0, size),
        ).feed
        self._pulse = Pulse(
            keepalive,
            heard=lambda: self._heard,
            busy=lambda: bool(self._inboxes),
            ping=self._ping,
            gone=lambda: self._fail("the peer does not answer", abort=True),
        )
        self._connecting = self._loop.create_task(self._connect(dial), name=f"connect to {name}")

    # ------------------------------------------------------------ its state

    @property
    def usable(self) -> bool:
        """Whether calls can be begun, or will be once it is connected."""
        return self._end is None and not self._leaving

    @property
    def full(self) -> bool:
        """Whether the peer allows no more calls."""
        return len(self._inboxes) >= self.limit

    @property
    def limit(self) -> int:
        """How many calls at once the peer allows; many, as long as it has not said."""
        return self._engine.remote_settings.max_concurrent_streams

    async def ready(self) -> None:
        """Wait until calls can be begun. Raises CallEnded (UNAVAILABLE) where it can't be."""
        if not self._connecting.done():
            await asyncio.wait([self._connecting])
        if self._end is not None:
            raise CallEnded(self._end)

    async def close(self) -> None:
        """End it, and every call on it. Idempotent."""
        self._connecting.cancel()
        await asyncio.wait([self._connecting])
        self._fail("the call was cut")
        if self._transport is not None:
            await self._gone.wait()

    async def _connect(self, dial: Dial) -> None:
        try:
            async with asyncio.timeout(DEADLINE):
                await dial(lambda: self)
                await self._settled
        except TimeoutError:
            self._fail("no connection in time", abort=True)
        except (OSError, UnicodeError) as error:  # an idna codec may refuse a name
            self._fail(f"no connection: {error}", abort=True)

    # ------------------------------------------------------------ calls

    def call(self, path: str, message: bytes, metadata: Metadata) -> Call:
        """Begin a call on a connection that is ready and not full. Raises CallEnded."""
        if self._end is not None or self._leaving:
            raise CallEnded(self._end or outcome.lost("the connection takes no more calls"))
        headers = request_headers(
            scheme=self._scheme, authority=self._authority, path=path, metadata=metadata
        )
        most = self._engine.remote_settings.max_header_list_size
        if most is not None and list_size(headers) > most:
            raise CallEnded(Status("RESOURCE_EXHAUSTED", "more metadata than the peer takes"))
        try:
            stream = self._engine.get_next_available_stream_id()
            self._engine.send_headers(stream, headers)
        except H2Error as error:
            raise CallEnded(outcome.lost(f"no call can begin: {error}")) from None
        inbox = self._inboxes[stream] = Inbox(lambda size: self._grant(stream, size))
        self._unsent[stream] = memoryview(framed(message))
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
        if self._inboxes.pop(stream, None) is None:
            return
        self._unsent.pop(stream, None)
        if self._end is None:
            self._reset(stream, ErrorCodes.CANCEL)
            self._leave()

    def _reset(self, stream: int, error: ErrorCodes) -> None:
        with contextlib.suppress(H2Error):  # h2 may have ended it of itself
            self._engine.reset_stream(stream, error)
        self._flush()

    def _finish(self, stream: int, status: Status) -> None:
        """End a call as the peer has said."""
        inbox = self._inboxes.pop(stream, None)
        if inbox is None:
            return
        inbox.finish(status)
        if self._unsent.pop(stream, None) is not None:
            self._reset(stream, ErrorCodes.NO_ERROR)
        self._leave()

    def _leave(self) -> None:
        """Close a connection that takes no more calls and has none."""
        if self._leaving and not self._inboxes:
            self._fail("the peer has ended the connection")

    # ------------------------------------------------------------ what the network says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say hello."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - it is, for a Protocol
        self._transport = transport
        tls = transport.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() != "h2":
            self._fail("the peer speaks no HTTP/2", abort=True)
            return
        self._notice_loss(transport.get_extra_info("socket"))
        self._heard = self._loop.time()
        self._engine.initiate_connection()
        self._flush()
        self._grant(0, CONNECTION_WINDOW - _DEFAULT_WINDOW)

    def data_received(self, data: bytes) -> None:
        """Take what has arrived."""
        self._heard = self._loop.time()
        try:
            self._feed(data)
        except (ViolationError, H2Error) as error:
            self._violated(error)
        except Exception as error:  # noqa: BLE001 - h2's own faults, on bytes it did not foresee
            self._violated(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note of the end."""
        self._fail(f"the connection was lost: {exc or 'closed by the peer'}")
        if self._farewell is not None:
            self._farewell.cancel()
        self._gone.set()

    def _control(self, kind: int, stream: int, frame: bytes) -> None:
        if self._end is not None:
            return
        if kind == GOAWAY:
            self._on_goaway(frame)
            return
        for event in self._engine.receive_data(frame):
            handle = _HANDLERS.get(type(event))
            if handle is not None:
                handle(self, event)
        self._flush()

    def _on_settings(self, _: RemoteSettingsChanged) -> None:
        if not self._settled.done():
            self._settled.set_result(None)
            self._pulse.begin()
        self._resume()

    def _on_window(self, _: WindowUpdated) -> None:
        self._resume()

    def _resume(self) -> None:
        for stream in list(self._unsent):
            self._send(stream)

    def _on_response(self, event: ResponseReceived) -> None:
        stream = event.stream_id
        headers = outcome.read(event.headers)
        told, refusal = outcome.told(headers), outcome.answered(headers)
        if event.stream_ended is not None:
            self._finish(stream, told or refusal or _SILENT)
        elif refusal is not None:
            self._on_refused(stream, Refused(told or refusal))

    def _on_trailers(self, event: TrailersReceived) -> None:
        self._finish(event.stream_id, outcome.told(outcome.read(event.headers)) or _SILENT)

    def _on_ended(self, event: StreamEnded) -> None:
        self._finish(event.stream_id, _SILENT)

    def _on_reset(self, event: StreamReset) -> None:
        self._finish(event.stream_id, outcome.reset(event.error_code))

    def _on_goaway(self, frame: bytes) -> None:
        if len(frame) < HEAD_SIZE + _GOAWAY.size:
            raise ViolationError("a GOAWAY too short")
        last, error = _GOAWAY.unpack_from(frame, HEAD_SIZE)
        self._leaving = True
        if error:
            logger.warning("tier %s ends a connection: HTTP/2 error %d", self._name, error)
        for stream in [stream for stream in self._inboxes if stream > last & 0x7FFFFFFF]:
            self._finish(stream, outcome.lost("the peer has ended the connection"))
        self._leave()

    def _on_refused(self, stream: int, refused: Refused) -> None:
        inbox = self._inboxes.get(stream)
        if inbox is not None:
            self._cancel(stream)
            inbox.finish(refused.status)

    # ------------------------------------------------------------ what it says to the network

    def _ping(self) -> None:
        self._engine.ping(_PING)
        self._flush()

    def _grant(self, stream: int, size: int) -> None:
        if self._transport is not None and self._end is None:
            self._transport.write(window_update(stream, size))

    def _flush(self) -> None:
        data = self._engine.data_to_send()
        if data and self._transport is not None:
            self._transport.write(data)

    def _violated(self, error: Exception) -> None:
        logger.info("tier %s breaks HTTP/2's rules: %r", self._name, error)
        self._fail("the peer breaks HTTP/2's rules", error=ErrorCodes.PROTOCOL_ERROR)

    def _fail(
        self, cause: str, *, abort: bool = False, error: ErrorCodes = ErrorCodes.NO_ERROR
    ) -> None:
        """End the connection and all calls on it. Idempotent."""
        if self._end is not None:
            return
        self._end = outcome.lost(cause)
        self._pulse.stop()
        if not self._settled.done():
            self._settled.set_result(None)
        inboxes = list(self._inboxes.values())
        self._inboxes.clear()
        self._unsent.clear()
        for inbox in inboxes:
            inbox.finish(self._end)
        if self._transport is not None:
            if abort:
                self._transport.abort()
            else:
                self._say_goodbye(self._transport, error)

    def _say_goodbye(self, transport: asyncio.Transport, error: ErrorCodes) -> None:
        if not transport.is_closing():
            with contextlib.suppress(H2Error):
                self._engine.close_connection(error)
            self._flush()
            transport.close()
        self._farewell = self._loop.call_later(FAREWELL, transport.abort)

    def _notice_loss(self, sock: Any) -> None:
        """Have the kernel, too, give up on a peer that takes nothing in."""
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            patience = int(self._keepalive.patience * 1000)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, patience)


_PING: Final = b"livequer"
_SILENT: Final = Status("UNKNOWN", "the peer ended the stream without a status")
_HANDLERS: Final[dict[type[Event], Callable[[Any, Any], None]]] = {
    RemoteSettingsChanged: Connection._on_settings,
    WindowUpdated: Connection._on_window,
    ResponseReceived: Connection._on_response,
    TrailersReceived: Connection._on_trailers,
    StreamEnded: Connection._on_ended,
    StreamReset: Connection._on_reset,
}
