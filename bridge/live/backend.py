"""Backend and UpstreamCall: the interface to the tier.

An adapter opens calls, which yield values of the core. gRPC is one adapter, a fake in memory is
another.
"""

from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass, field
from typing import Final, Protocol

from bridge.core.batch import Batch
from bridge.core.errors import Failed, Kind
from bridge.core.query import LiveQuery
from bridge.core.schema import Schema
from bridge.core.sequencer import CallPosition, Heartbeat

ACCEPTED: Final = "accepted, no `started`"
"""The note on the cancellation of an open that was sent, and got no answer."""


def unanswered(late: TimeoutError) -> Failed:
    """Return the failure of an open that timed out: what was awaited then."""
    accepted = ACCEPTED in getattr(late.__cause__, "__notes__", ())
    message = "the tier accepted the call and sent no `started` in time"
    return Failed(
        Kind.DEADLINE,
        message if accepted else "the tier did not answer in time",
        cause=ACCEPTED if accepted else "no call could be made in time",
    )


@dataclass(frozen=True, slots=True)
class Identity:
    """On whose behalf the tier is asked.

    `metadata` are the name-value pairs sent to the tier. `scope` is the part of them that
    authorisation may depend on: subscriptions are shared within a scope, never across scopes.

    Limits count by `holder`, whoever the credential names, and by `address`, the client's. None and
    "" are not counted: a verified credential needs no address beside it. Both make no difference
    to equality. Neither do `claims`: names and values of a verified credential's claims, for rules.
    """

    metadata: tuple[tuple[str, str], ...] = ()
    scope: tuple[tuple[str, str], ...] = ()
    holder: Hashable = field(default=None, compare=False)
    address: str = field(default="", compare=False)
    claims: Collection[tuple[str, str]] = field(default=(), compare=False)
    expires_at: float | None = None
    """When the credential in `metadata` expires, in seconds since the epoch; None: never."""
    credential: object = field(default=None, compare=False)
    """What it was made from, for the floor above."""

    @property
    def counted_as(self) -> tuple[Hashable, ...]:
        """The keys under which limits count it."""
        if self.holder is None:
            return (self.address,) if self.address else ()
        return (self.holder, self.address) if self.address else (self.holder,)


@dataclass(frozen=True, slots=True)
class ResumeOffer:
    """Where a lost call ended: the tier's id and route for it, and the last position applied."""

    id: str
    route: bytes
    position: CallPosition


class UpstreamCall(Protocol):
    """One open Subscribe call at the tier."""

    @property
    def id(self) -> str:
        """The tier's id for it."""

    @property
    def route(self) -> bytes:
        """What the tier finds it by, empty where it sent nothing."""

    @property
    def resumed(self) -> bool:
        """Whether the tier says that this call continues where a lost one ended."""

    @property
    def effective(self) -> LiveQuery | None:
        """The query as the tier runs it, None where it did not say."""

    @property
    def heartbeat(self) -> float:
        """Seconds between the heartbeats that the tier promised, 0 where it promised none."""

    @property
    def replica(self) -> str:
        """The replica's address, for the log."""

    @property
    def leaving(self) -> bool:
        """Whether the tier announced the end of the connection (GOAWAY)."""

    async def follow(self, take: Callable[[Batch | Heartbeat], None]) -> None:
        """Pass each message to `take` as it comes. Return once the tier has ended the call (OK).

        Raise Failed if the call breaks or is refused, and what `take` raises, which is then not
        called again. Cancelling may end the call.
        """

    async def reanchor(self, query: LiveQuery, was: LiveQuery, request_id: str) -> LiveQuery | None:
        """Move the window to the cursor and limit of `query`. `was` is the query until now.

        The new window comes through `follow`, as a reset. Return the query as the tier runs it,
        None where it does not say. Raise Failed, UNIMPLEMENTED where the tier can't.
        """

    def close(self) -> None:
        """End the call. Idempotent. Never raises."""


class Backend(Protocol):
    """Opens calls, and asks what can be asked for."""

    @property
    def opens_with_window(self) -> bool:
        """Whether a tier of this protocol starts a call only once its window has been read."""

    async def subscribe(
        self,
        query: LiveQuery,
        identity: Identity,
        *,
        again: bool = False,
        resume: ResumeOffer | None = None,
    ) -> UpstreamCall:
        """Open a call. Return when the tier has started it. Raise Failed.

        `again`: an earlier call was lost, and viewers still have its window. Such calls may be
        rate-limited. `resume`: where to continue, if the tier can. If not, it sends a snapshot.
        Cancelling leaves nothing open; once the call was sent, the CancelledError has the note
        ACCEPTED.
        """

    async def describe(self, identity: Identity) -> Schema:
        """Return what this caller may ask for. Raise Failed, UNIMPLEMENTED where none is told."""

    async def pause(self, seconds: float) -> None:
        """Wait between two attempts. May return early when the tier is reachable again."""
