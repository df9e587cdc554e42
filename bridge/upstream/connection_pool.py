"""Connection pool: the HTTP/2 connections to one replica, and the streams on each.

Invariants:
- A stream occupies a connection from before its call starts until it is closed.
- A connection has no more streams than the pool allows, nor than its server allows.
- A connection that is retired, lost or going away gets no new streams. It is closed when its last
  stream has ended.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from bridge.upstream.http2.call import CallEnded
from bridge.upstream.http2.call_status import connection_lost_status
from bridge.upstream.http2.connection import Http2Connection


@dataclass(slots=True, eq=False)
class PooledConnection:
    """A connection and the number of streams that occupy it."""

    connection: Http2Connection
    streams: int = 0
    retired: bool = False
    """Whether it gets no new streams, although it may look usable."""
    idle_since: float = 0.0

    @property
    def closing(self) -> bool:
        """Whether it gets no new streams any more."""
        return self.retired or not self.connection.usable

    def has_room(self, max_streams: int) -> bool:
        """Return whether one more stream may be put on it, as far as is known."""
        # A server that allows none at first is not asked by another connection.
        allowed = self.connection.max_calls or max_streams
        return not self.closing and self.streams < min(max_streams, allowed)


class ConnectionPool:
    """The connections to one replica.

    Args:
        dial: begins to connect, and returns the connection.
        clock: seconds, as loop.time.
        max_streams: streams on one connection.
        on_release: is called with a connection that a stream has left.

    """

    def __init__(
        self,
        *,
        dial: Callable[[], Http2Connection],
        clock: Callable[[], float],
        max_streams: int,
        on_release: Callable[[PooledConnection], None],
    ) -> None:
        self._dial = dial
        self._clock = clock
        self._on_release = on_release
        self._max_streams = max_streams
        self._connections: list[PooledConnection] = []

    def __len__(self) -> int:
        return len(self._connections)

    @property
    def streams(self) -> int:
        """Number of streams, those that wait for their connection included."""
        return sum(pooled.streams for pooled in self._connections)

    async def acquire(self) -> PooledConnection:
        """Occupy a ready connection with one stream; give it back with `release`.

        A server that allows no stream yet is waited for: how long is the caller's. Raises CallEnded
        (UNAVAILABLE) if there is no connection and none can be made.
        """
        while True:
            pooled = self._occupy()
            try:
                await pooled.connection.wait_ready()
                while not pooled.connection.max_calls and not pooled.closing:
                    await pooled.connection.wait_changed()
            except BaseException:
                self.release(pooled)
                raise
            if not pooled.connection.full:
                return pooled
            self.release(pooled)
            if not pooled.connection.max_calls:
                raise CallEnded(connection_lost_status("the tier ended a connection unused"))
            # The server's limit is known only now: streams beyond it go to other connections.
            self._max_streams = min(self._max_streams, pooled.connection.max_calls)

    def _occupy(self) -> PooledConnection:
        for pooled in self._connections:
            if pooled.has_room(self._max_streams):
                break
        else:
            pooled = PooledConnection(self._dial())
            self._connections.append(pooled)
        pooled.streams += 1
        return pooled

    def release(self, pooled: PooledConnection) -> None:
        """Give back the place of one stream."""
        pooled.streams -= 1
        pooled.idle_since = self._clock()
        self._on_release(pooled)

    def retire_all(self) -> None:
        """Put new streams on new connections; the streams on the present ones go on."""
        for pooled in self._connections:
            pooled.retired = True

    async def close_unused(self, idle: float) -> None:
        """Close connections without streams: those that get no more, or idle for `idle` seconds."""
        idle_limit = self._clock() - idle
        unused = [
            pooled
            for pooled in self._connections
            if not pooled.streams and (pooled.closing or pooled.idle_since <= idle_limit)
        ]
        self._connections = [pooled for pooled in self._connections if pooled not in unused]
        await asyncio.gather(*(pooled.connection.close() for pooled in unused))

    async def close(self) -> None:
        """Close every connection, and so end every call."""
        connections, self._connections = self._connections, []
        await asyncio.gather(*(pooled.connection.close() for pooled in connections))
