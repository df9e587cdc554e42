"""Hall: what the doors of a listener share, and which of them there are.

Law: a connection on which no request comes for `IDLE_TIMEOUT` seconds is closed.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final, Protocol

from bridge.web.context import WebContext
from bridge.web.idle_timers import TIMER_RESOLUTION

from .aiohttp_connection import AiohttpConnection
from .request_parser import RequestParser

IDLE_TIMEOUT: Final = 10.0
CLOSE_GRACE: Final = 0.5
"""Seconds that the last clients have to take what they were sent."""


class RegisteredConnection(Protocol):
    """A connection."""

    def hang_up(self) -> None:
        """Close it, once its client has taken what was sent."""

    def abort(self) -> None:
        """Drop it."""


class ConnectionRegistry:
    """`connection` makes aiohttp's side of one; None: it serves no more."""

    def __init__(
        self, context: WebContext, connection: Callable[[], AiohttpConnection | None]
    ) -> None:
        self.context = context
        self.connection = connection
        self.request_parser = RequestParser(context.settings)
        self._loop = asyncio.get_running_loop()
        self._doors: dict[RegisteredConnection, None] = {}
        self._waiting: dict[RegisteredConnection, float] = {}  # until when, the first to go first
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._empty = asyncio.Event()

    def __len__(self) -> int:
        return len(self._doors)

    def enter(self, door: RegisteredConnection) -> None:
        """Take a connection in, which waits."""
        self._doors[door] = None
        if self._closed:  # it was being let in meanwhile
            door.abort()
        else:
            self.wait(door)

    def leave(self, door: RegisteredConnection) -> None:
        """Forget a connection. Idempotent."""
        self._doors.pop(door, None)
        self._waiting.pop(door, None)
        if not self._doors:
            self._empty.set()

    def wait(self, door: RegisteredConnection) -> None:
        """Close a connection on which nothing comes."""
        due = self._waiting[door] = self._loop.time() + IDLE_TIMEOUT
        if self._timer is None:
            self._timer = self._loop.call_at(due, self._sweep)

    def busy(self, door: RegisteredConnection) -> None:
        """Let a connection take its time."""
        self._waiting.pop(door, None)

    def _sweep(self) -> None:
        self._timer = None
        now = self._loop.time()
        for door, due in tuple(self._waiting.items()):
            if due > now + TIMER_RESOLUTION:
                self._timer = self._loop.call_at(due, self._sweep)
                return
            del self._waiting[door]
            door.hang_up()

    async def close(self) -> None:
        """Close every connection, and any that comes yet."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if not self._doors:
            return
        self._empty.clear()
        for door in tuple(self._doors):
            door.hang_up()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_GRACE):
                await self._empty.wait()
        for door in tuple(self._doors):
            door.abort()
