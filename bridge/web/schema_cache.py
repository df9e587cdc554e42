"""SchemaCache: what the tier told each scope, printed once and kept for a minute.

Invariants: there is one Describe for all of a scope who ask at once, and it goes on when some of
them leave; an answer is kept for `TTL` seconds, and so is "not implemented"; any other failure goes
to those who wait and is forgotten; the newest answers stay, within `MAX_ENTRIES` and `MAX_BYTES`.
"""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from bridge.core.errors import Failed, Kind
from bridge.live.backend import Backend, Identity
from bridge.wire.schema_json import format_schema

TTL: Final = 60.0
MAX_ENTRIES: Final = 1000
MAX_BYTES: Final = 16 * 1024 * 1024

_Scope: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class PrintedSchema:
    """A schema as JSON, and the text of its entity tag."""

    body: bytes
    tag: str


@dataclass(frozen=True, slots=True)
class _Entry:
    until: float
    answer: PrintedSchema | Failed

    @property
    def size(self) -> int:
        return len(self.answer.body) if isinstance(self.answer, PrintedSchema) else 0


class SchemaCache:
    """One per bridge. `clock` returns seconds, as loop.time does."""

    def __init__(self, backend: Backend, *, clock: Callable[[], float] | None = None) -> None:
        self._backend = backend
        self._clock = clock or asyncio.get_running_loop().time
        self._entries: dict[_Scope, _Entry] = {}  # oldest first
        self._size = 0
        self._asking: dict[_Scope, asyncio.Task[PrintedSchema]] = {}

    async def get(self, identity: Identity) -> PrintedSchema:
        """Return the schema that a caller may see. Raise Failed."""
        entry = self._entries.get(identity.scope)
        if entry is not None and self._clock() < entry.until:
            if isinstance(entry.answer, Failed):
                raise _copy(entry.answer)
            return entry.answer
        task = self._asking.get(identity.scope)
        if task is None:
            task = asyncio.create_task(self._ask(identity), name="asking the tier to describe")
            task.add_done_callback(_mark_retrieved)
            self._asking[identity.scope] = task
        try:
            return await asyncio.shield(task)
        except Failed as failure:
            raise _copy(failure) from None

    async def _ask(self, identity: Identity) -> PrintedSchema:
        try:
            body = format_schema(await self._backend.describe(identity))
        except Failed as failure:
            if failure.kind is Kind.UNIMPLEMENTED:
                self._keep(identity.scope, failure)
            raise
        else:
            printed = PrintedSchema(body, hashlib.sha256(body).hexdigest()[:16])
            self._keep(identity.scope, printed)
            return printed
        finally:
            del self._asking[identity.scope]

    def _keep(self, scope: _Scope, answer: PrintedSchema | Failed) -> None:
        self._drop(scope)
        entry = _Entry(self._clock() + TTL, answer)
        self._entries[scope] = entry
        self._size += entry.size
        while len(self._entries) > MAX_ENTRIES or self._size > MAX_BYTES:
            self._drop(next(iter(self._entries)))

    def _drop(self, scope: _Scope) -> None:
        entry = self._entries.pop(scope, None)
        if entry is not None:
            self._size -= entry.size

    async def close(self) -> None:
        """End what is being asked."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _mark_retrieved(task: asyncio.Task[PrintedSchema]) -> None:
    """Have nothing logged about a failure for which nobody waits any more."""
    if not task.cancelled():
        task.exception()


def _copy(failure: Failed) -> Failed:
    """Return a copy without traceback: one failure is raised for many."""
    return Failed(
        failure.kind,
        failure.message,
        field=failure.field,
        retry_after=failure.retry_after,
        code=failure.code,
        source=failure.source,
    )
