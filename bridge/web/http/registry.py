"""ConnectionRegistry: the connections of a listener that aiohttp does not serve.

Invariant: a connection on which no request comes for `IDLE_TIMEOUT` seconds is closed.
"""

import asyncio
import contextlib
from typing import Final, Protocol

from bridge.web.idle_timers import TIMER_RESOLUTION

IDLE_TIMEOUT = 10.0
CLOSE_GRACE: Final = 0.5
"""Seconds that the last clients have to take what they were sent, when the listener closes."""


class RegisteredConnection(Protocol):
    """A connection, as HTTP or as WebSocket."""

    def close_after_flush(self) -> None:
        """Close it once its client took what was sent."""

    def abort(self) -> None:
        """Drop it."""


class ConnectionRegistry:
    """Knows its connections, and closes those that idle."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._connections: dict[RegisteredConnection, None] = {}
        self._idle: dict[RegisteredConnection, float] = {}
        """When each idle connection is closed; the first in time is first."""
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._empty = asyncio.Event()

    def __len__(self) -> int:
        return len(self._connections)

    def add(self, connection: RegisteredConnection) -> None:
        """Add a new connection, idle."""
        self._connections[connection] = None
        if self._closed:  # it was accepted meanwhile
            connection.abort()
        else:
            self.start_idle_timeout(connection)

    def replace(self, before: RegisteredConnection, after: RegisteredConnection) -> None:
        """Have a connection go on as another one, which is served."""
        self._connections.pop(before, None)
        self._idle.pop(before, None)
        self._connections[after] = None

    def remove(self, connection: RegisteredConnection) -> None:
        """Forget a connection. Idempotent."""
        self._connections.pop(connection, None)
        self._idle.pop(connection, None)
        if not self._connections:
            self._empty.set()

    def start_idle_timeout(self, connection: RegisteredConnection) -> None:
        """Close a connection on which nothing comes for `IDLE_TIMEOUT` seconds."""
        self._idle.pop(connection, None)  # a key that stays keeps its place in the order
        due = self._idle[connection] = self._loop.time() + IDLE_TIMEOUT
        if self._timer is None:
            self._timer = self._loop.call_at(due, self._close_idle)

    def stop_idle_timeout(self, connection: RegisteredConnection) -> None:
        """Let a connection stay: it is being served."""
        self._idle.pop(connection, None)

    def _close_idle(self) -> None:
        self._timer = None
        now = self._loop.time()
        for connection, due in tuple(self._idle.items()):
            if due > now + TIMER_RESOLUTION:
                self._timer = self._loop.call_at(due, self._close_idle)
                return
            del self._idle[connection]
            connection.close_after_flush()

    async def close(self) -> None:
        """Close every connection, and any that is still accepted."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if not self._connections:
            return
        self._empty.clear()
        for connection in tuple(self._connections):
            connection.close_after_flush()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_GRACE):
                await self._empty.wait()
        for connection in tuple(self._connections):
            connection.abort()
