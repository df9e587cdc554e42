"""Backend and Sub: the seam to the tier.

An adapter opens subscriptions; what comes out is the core's values. A fake in memory satisfies
the seam as well as gRPC does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from bridge.core.batch import Batch
from bridge.core.query import LiveQuery
from bridge.core.sequencer import CallPosition, Heartbeat


@dataclass(frozen=True, slots=True)
class Identity:
    """On whose behalf the tier is asked.

    `metadata` are the name-value pairs that travel to the tier. `scope` is the part of them that
    authorisation may depend on: subscriptions are shared within a scope, never across.
    """

    metadata: tuple[tuple[str, str], ...] = ()
    scope: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ResumeOffer:
    """Where a lost call was left: the tier's name for it, its route, and what of it is applied."""

    id: str
    route: bytes
    position: CallPosition


class UpstreamCall(Protocol):
    """One open subscription at the tier."""

    @property
    def id(self) -> str:
        """The tier's name for it."""

    @property
    def route(self) -> bytes:
        """What the tier finds it by; empty where it said nothing."""

    @property
    def resumed(self) -> bool:
        """Whether the tier says that it goes on where a lost one was left."""

    @property
    def effective(self) -> LiveQuery | None:
        """The query as the tier runs it; None where it did not say."""

    @property
    def heartbeat(self) -> float:
        """Seconds between the heartbeats that the tier promised; 0 where it promised none."""

    @property
    def leaving(self) -> bool:
        """Whether the tier has said that what carries this will go: the end is no trouble."""

    async def follow(self, take: Callable[[Batch | Heartbeat], None]) -> None:
        """Hand each message to `take` as it comes; returns once the tier has ended it well (OK).

        Cancelling may end the call. Raises Failed when the call breaks or is refused, and what
        `take` raises, after which it is called no more.
        """

    async def reanchor(self, query: LiveQuery, was: LiveQuery, request_id: str) -> LiveQuery | None:
        """Slide the window to the cursor and limit of `query`; `was` is the one in force.

        The new window comes through `follow` as a reset. Returns the query as the tier runs it,
        None where it does not say. Raises Failed; UNIMPLEMENTED where the tier can't.
        """

    async def close(self) -> None:
        """End the subscription. Idempotent; never raises."""


class Backend(Protocol):
    """Opens subscriptions."""

    async def subscribe(
        self,
        query: LiveQuery,
        identity: Identity,
        *,
        again: bool = False,
        resume: ResumeOffer | None = None,
    ) -> UpstreamCall:
        """Open one; returns when the tier has started it. Raises Failed.

        `again`: there was one before, whose window stands meanwhile; such calls may be paced.
        `resume`: where to go on, if the tier can; else it begins with a snapshot, as ever.
        Cancelling leaves nothing open.
        """

    async def pause(self, seconds: float) -> None:
        """Wait between two tries; may be cut short when the tier is seen to be back."""
