"""Connections that read: opened when needed, kept, and replaced when they are lost."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from livetier.postgres.connection import Connection, Statement
from livetier.postgres.scope import Scope

BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
"""What is told of a table must be of one moment: its columns and the signature they go with."""


class ReadPool:
    """At most ``size`` connections; who finds none waits. Connections are made on demand."""

    def __init__(self, conninfo: str, size: int) -> None:
        self._conninfo = conninfo
        self._free = asyncio.Semaphore(size)
        self._idle: list[Connection] = []
        self._generation = 0
        self.size = size
        self.used = 0

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection that is in no transaction. Raises DatabaseError."""
        async with self._free:
            self.used += 1
            generation = self._generation
            connection = None
            try:
                connection = await self._take()
                yield connection
            finally:
                self.used -= 1
                if connection is not None:
                    if connection.closed or generation != self._generation:
                        await connection.close()
                    else:
                        self._idle.append(connection)

    @contextlib.asynccontextmanager
    async def transaction(self, scope: Scope) -> AsyncIterator[Connection]:
        """Lend a connection in a read-only transaction that has the scope's settings and role."""
        async with self.connection() as connection:
            await connection.run([Statement(BEGIN), *scope.enter()])
            yield connection
            await connection.run([Statement("COMMIT")])

    async def drop(self) -> None:
        """Close every connection: they may lead to a server that is no longer the one."""
        self._generation += 1
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.close()

    async def _take(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            try:
                await connection.reset()
            except BaseException:
                await connection.close()
                raise
            if not connection.closed:
                return connection
            await connection.close()
        return await Connection.open(self._conninfo)
