"""Connection: one HTTP/2 connection to a replica. What is said on it is the session's business.

Laws: it connects from the start, once; where that fails, or it ends, another one is made. It has a
deadline to connect, and one to say goodbye.
"""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any, Final, cast

from .call import Call, CallEnded, Metadata
from .keepalive import Keepalive, KeepaliveTimer
from .read_coalescing import ReadCoalescing
from .session import Http2Session

CONNECT_TIMEOUT: Final = 2.0
"""Seconds to connect: TCP, TLS and the peer's first settings."""
CLOSE_TIMEOUT: Final = 1.0
"""Seconds a closed connection may take to say goodbye."""

Dial = Callable[[Callable[[], asyncio.Protocol]], Coroutine[Any, Any, None]]
"""Connects a protocol. Raises OSError (ssl.SSLError is one) and UnicodeError (a bad name)."""


class Http2Connection(asyncio.Protocol):
    """One to a replica.

    Args:
        dial: connects it.
        authority: what requests are addressed with, as is `scheme`.
        name: whom the log calls the peer.
        keepalive: after how long a silent peer is gone.
        gather: seconds that reads may be apart while it is busy.

    """

    def __init__(
        self,
        dial: Dial,
        *,
        authority: str,
        scheme: str,
        name: str,
        keepalive: Keepalive,
        gather: float,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._keepalive = keepalive
        self._transport: asyncio.Transport | None = None
        self._settled = self._loop.create_future()
        self._gone = asyncio.Event()
        self._dead = False
        self._mute = False
        self._farewell: asyncio.TimerHandle | None = None
        self._heard = 0.0
        self._gather = ReadCoalescing(gather, self._loop)
        self._session = Http2Session(
            authority=authority,
            scheme=scheme,
            name=name,
            write=self._write,
            on_settings=self._settle,
            on_end=self._leave,
        )
        self._feed = self._session.feed
        self._pulse = KeepaliveTimer(
            keepalive,
            heard=lambda: self._heard,
            busy=lambda: bool(self._session.calls),
            ping=self._session.ping,
            gone=lambda: self._give_up("the peer does not answer"),
        )
        self._connecting = self._loop.create_task(self._connect(dial), name=f"connect to {name}")

    @property
    def leaving(self) -> bool:
        """Whether the peer has said GOAWAY, and calls go on until it ends them."""
        return self._session.leaving

    @property
    def mute(self) -> bool:
        """Whether it was given up for the peer's silence, which a new one may meet as well."""
        return self._mute

    @property
    def usable(self) -> bool:
        """Whether calls can begin, or will be able to once it is connected."""
        return self._session.ended is None and not self._session.leaving

    @property
    def full(self) -> bool:
        """Whether the peer allows no more calls."""
        return self._session.calls >= self._session.limit

    @property
    def limit(self) -> int:
        """How many calls at once the peer allows; many, as long as it has not said."""
        return self._session.limit

    async def ready(self) -> None:
        """Wait until calls can begin. Raises CallEnded (UNAVAILABLE) where they never will."""
        if not self._connecting.done():
            await asyncio.wait([self._connecting])
        if self._session.ended is not None:
            raise CallEnded(self._session.ended)

    def call(self, path: str, message: bytes, metadata: Metadata) -> Call:
        """Begin a call; the connection must be ready. Raises CallEnded where none can begin."""
        return self._session.call(path, message, metadata)

    async def close(self) -> None:
        """End it, and every call on it. Idempotent."""
        self._session.end("the call was cut")
        self._connecting.cancel()
        await asyncio.wait([self._connecting])
        if self._transport is not None:
            await self._gone.wait()

    async def _connect(self, dial: Dial) -> None:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await dial(lambda: self)
                await self._settled
        except TimeoutError:
            self._give_up("no connection in time")
        except (OSError, UnicodeError) as error:
            self._cut(f"no connection: {error}")

    # ------------------------------------------------------------ asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say hello."""
        # uvloop's are no asyncio.Transport by descent.
        self._transport = cast("asyncio.Transport", transport)
        self._heard = self._loop.time()
        if self._session.ended is not None:  # closed in the moment it was made
            self._transport.abort()
            return
        tls = transport.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() != "h2":
            self._cut("the peer speaks no HTTP/2")
            return
        self._notice_loss(transport.get_extra_info("socket"))
        self._session.hello()

    def data_received(self, data: bytes) -> None:
        """Take what has arrived."""
        self._heard = self._loop.time()
        messages = self._feed(data)
        if self._transport is not None:
            self._gather.read(self._transport, messages)

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note of the end."""
        self._dead = True
        self._session.end(f"the connection was lost: {exc or 'closed by the peer'}")
        if self._farewell is not None:
            self._farewell.cancel()
        self._gone.set()

    def _notice_loss(self, sock: Any) -> None:
        """Have the kernel, too, give up on a peer that takes nothing in."""
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            patience = int(self._keepalive.patience * 1000)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, patience)

    # ------------------------------------------------------------ what the session wants

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._dead:
            self._transport.write(data)

    def _settle(self) -> None:
        if not self._settled.done():
            self._settled.set_result(None)
            self._pulse.begin()

    def _give_up(self, cause: str) -> None:
        self._mute = True
        self._cut(cause)

    def _cut(self, cause: str) -> None:
        """End without a goodbye: nobody would hear it."""
        self._dead = True
        self._session.end(cause)

    def _leave(self) -> None:
        self._pulse.stop()
        if not self._settled.done():
            self._settled.set_result(None)
        if self._transport is None:
            return
        if self._dead:
            self._transport.abort()
        else:
            self._transport.close()
            self._farewell = self._loop.call_later(CLOSE_TIMEOUT, self._transport.abort)
