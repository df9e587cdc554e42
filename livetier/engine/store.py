"""The interface between the engine and a database.

A ``Store`` compiles queries, reads windows, and reads them again after commits. The engine shares
the windows, sends the changes and numbers the deltas. ``livetier.sqlite`` is one store.

Words:

- A **plan** is a query that was checked and compiled.
- A **view** is what a plan showed when it was last read. It never changes: a reading makes a
  successor. Only the store makes views. Its subclass of ``View`` has what the next reading needs
  to know: which commits the view contains, the members of a streamed query.
- A **reading** has a **step** for each view that changed: the view, its successor and the changes
  between. ``window.edit_script`` and ``window.membership`` compute the changes. The store calls
  them, on a thread of its own if it has one, because windows may be large.
- A **position** numbers and dates a reading for clients. It does not say which commits a view
  contains.
"""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeAlias, TypeVar, runtime_checkable

from livequery.v1 import livequery_pb2 as pb
from livetier.engine.errors import TierError
from livetier.engine.window import Change, Window

# The metadata of a gRPC call: pairs in the order sent, a key possibly more than once.
Metadata: TypeAlias = Sequence[tuple[str, str | bytes]]


@dataclass(frozen=True, slots=True)
class Position:
    """The number and the time of a reading. Of two readings the later has the greater number."""

    seq: int
    at_ms: int

    @property
    def stream_id(self) -> str:
        """The position as the contract spells it."""
        return f"{self.at_ms}-{self.seq}"


@dataclass(frozen=True, slots=True)
class Plan:
    """A compiled query. A store adds its own fields in a subclass.

    ``query`` is the query as it is run. Two plans have the same ``key`` exactly when they show the
    same rows; their subscriptions then share one view. Where the caller decides which rows are
    seen, the key contains the caller.
    """

    query: pb.LiveQuery
    key: Hashable

    @property
    def streamed(self) -> bool:
        """Whether the mode is streamed: membership without order or bound."""
        return self.query.mode == pb.MODE_STREAMED


@dataclass(frozen=True, slots=True)
class View:
    """What a plan showed. ``rows`` is its window; it is empty in streamed mode."""

    plan: Plan
    rows: Window = ()


PlanT = TypeVar("PlanT", bound=Plan)
ViewT = TypeVar("ViewT", bound=View)


class Views(Generic[ViewT]):
    """The latest view of each plan in use. The engine changes it between calls of the store."""

    def __init__(self, views: Iterable[ViewT] = ()) -> None:
        self._by_key: dict[Hashable, ViewT] = {view.plan.key: view for view in views}

    def __iter__(self) -> Iterator[ViewT]:
        return iter(self._by_key.values())

    def __len__(self) -> int:
        return len(self._by_key)

    def get(self, key: Hashable) -> ViewT | None:
        """Return the view of the plan with that key, if it is in use."""
        return self._by_key.get(key)


@dataclass(frozen=True, slots=True)
class Step(Generic[ViewT]):
    """A view, its successor and the changes between; ``error`` if the view has no successor."""

    before: ViewT
    after: ViewT
    changes: Sequence[Change] = ()
    error: TierError | None = None


@dataclass(frozen=True, slots=True)
class Reading(Generic[ViewT]):
    """One position, and a step for each view that has a successor."""

    position: Position
    steps: Sequence[Step[ViewT]]


class Store(Protocol[PlanT, ViewT]):
    """A database with live queries.

    **Threads.** All methods are called on one event loop, which they must not block. A store that
    blocks has a thread of its own.

    **Concurrency.** ``compile``, ``first`` and ``settle`` may overlap with any call, so that a
    slow first read delays no other subscription. ``page`` and ``read`` never overlap with
    themselves or each other, ``changed`` never with itself. ``open`` comes before all else.
    ``close`` may come during other calls, which may then raise anything.

    **Errors.** Any method may raise ``error``: the database cannot answer now. ``compile``,
    ``first`` and ``page`` then fail for one caller, with UNAVAILABLE; ``read``, ``changed`` and
    ``settle`` are called again later. A TierError is sent to the caller as it is. Every other
    exception is a bug: if ``read`` or ``changed`` raises one, the engine ends all streams.

    **Cancellation.** Any call may be cancelled. What a cancelled ``read`` would have reported, the
    next one reports.
    """

    @property
    def error(self) -> type[Exception]:
        """The class of the exceptions that mean: the database cannot answer now."""

    async def open(self) -> None:
        """Connect. Called once; a store that failed to open is not closed."""

    async def close(self) -> None:
        """Release everything. Called once; what is called later may raise anything."""

    async def compile(self, query: pb.LiveQuery, metadata: Metadata, /) -> PlanT:
        """Check ``query`` and return its plan; ``metadata`` is that of the caller's Subscribe.

        Raises TierError with the field at fault. ``engine.query`` has the checks that need no
        schema. From here on the changes of the plan's tables must be noticed.
        """

    async def first(self, plan: PlanT, /) -> ViewT:
        """Read ``plan`` for the first time."""

    async def page(self, view: ViewT, /) -> Window:
        """Read the rows that a streamed view starts with, as they are now.

        The next ``read`` reports what was committed since ``view``, also what this call has seen.
        """

    async def read(self, views: Views[ViewT], /) -> Reading[ViewT]:
        """Read again those of ``views`` that commits may have changed; report their steps.

        ``views`` has at least one view. Views may join and go while this call waits. A store that
        knows which of many views are touched looks these up by their key, and reads no others.
        What a view contains is not reported again. A commit that cannot be read yet may be left to
        a later call; ``changed`` then returns when there is something. A view that cannot be read
        has an ``error`` in its step, which ends its streams; the others go on. A step without
        changes only replaces the view.
        """

    def release(self, view: ViewT, /) -> None:
        """Forget ``view``: nobody uses its plan any more. Must not wait."""

    async def changed(self) -> None:
        """Return when ``read`` may have something to report; may return for nothing.

        Must return for every commit, of whatever process, soon after it: also when the commit came
        before the call and after the last return. Only awaited while there are subscriptions.
        """

    async def settle(self) -> None:
        """Return when ``read`` will report everything that was committed before this call."""


@runtime_checkable
class Describer(Protocol):
    """A store that tells what can be asked for. Optional: Describe is UNIMPLEMENTED without it."""

    async def describe(self, metadata: Metadata, /) -> pb.DescribeResponse:
        """Return what the caller with this ``metadata`` may query.

        May raise the store's ``error``, and TierError. May overlap with any call.
        """
