"""SchemaCache: what the tier told each scope, printed once and kept for a minute.

Invariants: there is one Describe for all of a scope who ask at once, if the rules know no
difference between them, and it goes on when some of them leave; an answer is kept for `TTL`
seconds, and so is "not implemented"; any other failure goes to those who wait and is forgotten; the
newest answers stay, within `MAX_ENTRIES` and `MAX_BYTES`.
"""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from bridge.core.errors import Failed, Kind
from bridge.core.query_rules import QueryRules
from bridge.live.backend import Backend, Identity
from bridge.wire.schema_json import format_schema

TTL: Final = 60.0
MAX_ENTRIES: Final = 1000
MAX_BYTES: Final = 16 * 1024 * 1024

_Caller: TypeAlias = tuple[tuple[tuple[str, str], ...], frozenset[tuple[str, str]]]
"""Scope and claims: callers that are told the same."""
_NO_RULES: Final = QueryRules()


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
    """One per bridge. `rules`: what may be asked for. `clock`: seconds, as loop.time."""

    def __init__(
        self,
        backend: Backend,
        *,
        rules: QueryRules = _NO_RULES,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._backend = backend
        self._rules = rules
        self._clock = clock or asyncio.get_running_loop().time
        self._entries: dict[_Caller, _Entry] = {}  # oldest first
        self._size = 0
        self._asking: dict[_Caller, asyncio.Task[PrintedSchema]] = {}

    async def get(self, identity: Identity) -> PrintedSchema:
        """Return the schema that a caller may see. Raise Failed."""
        caller = _caller(identity)
        entry = self._entries.get(caller)
        if entry is not None and self._clock() < entry.until:
            if isinstance(entry.answer, Failed):
                raise _copy(entry.answer)
            return entry.answer
        task = self._asking.get(caller)
        if task is None:
            task = asyncio.create_task(
                self._ask(caller, identity), name="asking the tier to describe"
            )
            task.add_done_callback(_mark_retrieved)
            self._asking[caller] = task
        try:
            return await asyncio.shield(task)
        except Failed as failure:
            raise _copy(failure) from None

    async def _ask(self, caller: _Caller, identity: Identity) -> PrintedSchema:
        try:
            schema = await self._backend.describe(identity)
            body = format_schema(self._rules.visible(schema, identity.claims))
        except Failed as failure:
            if failure.kind is Kind.UNIMPLEMENTED:
                self._keep(caller, failure)
            raise
        else:
            printed = PrintedSchema(body, hashlib.sha256(body).hexdigest()[:16])
            self._keep(caller, printed)
            return printed
        finally:
            del self._asking[caller]

    def _keep(self, caller: _Caller, answer: PrintedSchema | Failed) -> None:
        self._drop(caller)
        entry = _Entry(self._clock() + TTL, answer)
        self._entries[caller] = entry
        self._size += entry.size
        while len(self._entries) > MAX_ENTRIES or self._size > MAX_BYTES:
            self._drop(next(iter(self._entries)))

    def _drop(self, caller: _Caller) -> None:
        entry = self._entries.pop(caller, None)
        if entry is not None:
            self._size -= entry.size

    async def close(self) -> None:
        """End what is being asked."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _caller(identity: Identity) -> _Caller:
    return identity.scope, frozenset(identity.claims)


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
