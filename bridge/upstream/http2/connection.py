"""Connection: one HTTP/2 connection to a replica, on asyncio. The session has the protocol.

Invariants: it connects once, from the start; if that fails or the connection ends, the owner makes
another one. Connecting has a deadline, and so has closing.
"""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any, Final, cast

from bridge.live.flush_scheduler import FlushScheduler

from .call import Call, CallEnded
from .connect_failure import NO_ANSWER, NO_HTTP2, explain, explain_end, explain_first_bytes
from .gather_interval import GatherInterval
from .keepalive import KeepaliveTimer
from .peer import Peer
from .read_coalescing import ReadCoalescing
from .request import ONE_MESSAGE, Metadata, RequestForm
from .session import Http2Session

CONNECT_TIMEOUT: Final = 2.0
"""Seconds to connect: TCP, TLS and the peer's first settings."""
CLOSE_TIMEOUT: Final = 1.0
"""Seconds until a connection that is closing is aborted."""

Dial = Callable[[Callable[[], asyncio.Protocol]], Coroutine[Any, Any, None]]
"""Connects a protocol. Raises OSError (as is ssl.SSLError) and UnicodeError (a bad name)."""


class Http2Connection(asyncio.Protocol):
    """A connection to a replica.

    Args:
        dial: connects it.
        authority: the `:authority` of requests.
        scheme: the `:scheme` of requests.
        peer: the replica; its keepalive says after how long a silent peer is gone.
        read_interval: the time between two reads while it is busy.
        flush_scheduler: runs what a read makes due.
        on_unanswered: is called if it was connected and the peer's settings did not come in time.

    """

    def __init__(
        self,
        dial: Dial,
        *,
        authority: str,
        scheme: str,
        peer: Peer,
        read_interval: GatherInterval,
        flush_scheduler: FlushScheduler,
        on_unanswered: Callable[[], None] = lambda: None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._keepalive = peer.keepalive
        self._on_unanswered = on_unanswered
        self._transport: asyncio.Transport | None = None
        self._connected = self._loop.create_future()
        self._transport_lost = asyncio.Event()
        self._ended = asyncio.Event()
        self._changed = asyncio.Event()
        self._unwritable = False
        self._timed_out = False
        self._abort_timer: asyncio.TimerHandle | None = None
        self._last_received = 0.0
        self._coalescing = ReadCoalescing(read_interval, self._loop)
        self._flush_scheduler = flush_scheduler
        self._session = Http2Session(
            authority=authority,
            scheme=scheme,
            peer=peer,
            write=self._write,
            on_settings=self._on_settings,
            on_going_away=self._on_going_away,
            on_close=self._on_session_closed,
        )
        self._has_answered = False
        self._keepalive_timer = KeepaliveTimer(
            self._keepalive,
            last_received=lambda: self._last_received,
            has_calls=lambda: bool(self._session.open_calls),
            ping=self._session.ping,
            on_timeout=lambda: self._fail_by_timeout("the peer does not answer"),
        )
        self._connecting = self._loop.create_task(
            self._connect(dial), name=f"connect to {peer.name}"
        )

    @property
    def going_away(self) -> bool:
        """Whether the peer has sent GOAWAY; open calls go on until it ends them."""
        return self._session.going_away

    @property
    def timed_out(self) -> bool:
        """Whether it was closed because the peer was silent; a new connection may fail as well."""
        return self._timed_out

    @property
    def usable(self) -> bool:
        """Whether calls can start, now or once it is connected."""
        return self._session.closed is None and not self._session.going_away

    @property
    def full(self) -> bool:
        """Whether the peer allows no more calls."""
        return self._session.open_calls >= self._session.max_calls

    @property
    def max_calls(self) -> int:
        """Number of concurrent calls that the peer allows; very high until it has said."""
        return self._session.max_calls

    async def wait_ready(self) -> None:
        """Wait until calls can start. Raises CallEnded (UNAVAILABLE) if they never will."""
        if not self._connecting.done():
            await asyncio.wait([self._connecting])
        if self._session.closed is not None:
            raise CallEnded(self._session.closed)

    async def wait_ended(self) -> None:
        """Wait until no call can start any more: it was lost, or the peer ends it."""
        await self._ended.wait()

    async def wait_changed(self) -> None:
        """Wait for the peer's next settings, or until no call can start any more."""
        self._changed.clear()
        if self.usable:
            await self._changed.wait()

    def start_call(
        self, path: str, message: bytes, metadata: Metadata, form: RequestForm = ONE_MESSAGE
    ) -> Call:
        """Start a call on a ready connection. Raises CallEnded if none can start."""
        return self._session.start_call(path, message, metadata, form)

    async def close(self) -> None:
        """Fail every call and close the transport. Idempotent."""
        self._session.close("the call was cut")
        self._connecting.cancel()
        await asyncio.wait([self._connecting])
        if self._transport is not None:
            await self._transport_lost.wait()

    async def _connect(self, dial: Dial) -> None:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await dial(lambda: self)
                await self._connected
        except TimeoutError:
            self._on_unanswered()
            self._fail_by_timeout(NO_ANSWER)
        except (OSError, UnicodeError) as error:
            self._fail(explain(error))

    # ------------------------------------------------------------ asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the session."""
        # uvloop's transports are not instances of asyncio.Transport.
        self._transport = cast("asyncio.Transport", transport)
        self._last_received = self._loop.time()
        if self._session.closed is not None:  # `close` came first
            self._transport.abort()
            return
        tls = transport.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() != "h2":
            self._fail(NO_HTTP2)
            return
        self._set_user_timeout(transport.get_extra_info("socket"))
        self._session.start()

    def data_received(self, data: bytes) -> None:
        """Process received bytes."""
        self._last_received = now = self._loop.time()
        if not self._has_answered and not self._check_first(data):
            return
        self._flush_scheduler.hold()
        try:
            messages = self._session.receive_data(data)
        finally:
            self._flush_scheduler.release()
        if self._transport is not None:
            self._coalescing.on_read(self._transport, messages, now)

    def _check_first(self, data: bytes) -> bool:
        """Return whether the first bytes are HTTP/2; fail if they are of another protocol."""
        cause = explain_first_bytes(data)
        if cause is not None:
            self._fail(cause)
            return False
        self._has_answered = True
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail every call."""
        self._unwritable = True
        if self._connected.done():
            self._session.close(f"the connection was lost: {exc or 'closed by the peer'}")
        elif isinstance(exc, OSError):
            self._session.close(explain(exc))
        else:
            tls = self._transport is not None and self._transport.get_extra_info("ssl_object")
            self._session.close(explain_end(bool(tls)))
        if self._abort_timer is not None:
            self._abort_timer.cancel()
        self._transport_lost.set()

    def _set_user_timeout(self, sock: Any) -> None:
        """Have the kernel close the connection if the peer acknowledges nothing (tcp(7))."""
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            milliseconds = int(self._keepalive.timeout * 1000)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)

    # ------------------------------------------------------------ callbacks of the session

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._unwritable:
            self._transport.write(data)

    def _on_settings(self) -> None:
        self._changed.set()
        if not self._connected.done():
            self._connected.set_result(None)
            self._keepalive_timer.start()

    def _fail_by_timeout(self, cause: str) -> None:
        self._timed_out = True
        self._fail(cause)

    def _fail(self, cause: str) -> None:
        """Close without GOAWAY: the peer would not read it."""
        self._unwritable = True
        self._session.close(cause)

    def _on_going_away(self) -> None:
        self._ended.set()
        self._changed.set()

    def _on_session_closed(self) -> None:
        self._on_going_away()
        self._keepalive_timer.stop()
        if not self._connected.done():
            self._connected.set_result(None)
        if self._transport is None:
            return
        if self._unwritable:
            self._transport.abort()
        else:
            self._transport.close()
            self._abort_timer = self._loop.call_later(CLOSE_TIMEOUT, self._transport.abort)
