"""The interface to a way of learning what transactions changed."""

from collections.abc import Sequence
from typing import Protocol

from livetier.postgres.connection import Connection, Rows, Statement
from livetier.postgres.fence import Snapshot
from livetier.postgres.relation import Relation


class Capture(Protocol):
    """Delivers transactions to a ledger. Its methods raise DatabaseError."""

    @property
    def name(self) -> str:
        """``wal`` or ``trigger``."""

    @property
    def streaming(self) -> bool:
        """Whether changes are learnt now; while not, every window is read now and then."""

    @property
    def lag_seconds(self) -> float:
        """How old the newest transaction was when it was delivered."""

    @property
    def losses(self) -> int:
        """How often changes were not learnt for a while."""

    def lag_bytes(self, end: int, /) -> int:
        """Return how much of the log, which ends at ``end``, is not delivered."""

    async def open(self) -> None:
        """Begin, and go on in the background through every loss of the connection."""

    async def close(self) -> None:
        """End; idempotent."""

    async def watch(self, relation: Relation) -> bool:
        """Return when changes of a table, and of what decides what it shows, are learnt.

        Returns whether a table was altered for that.

        Raises TierError with the reason for a table whose changes cannot be.
        """

    async def check(self, connection: Connection) -> None:
        """Look whether all that is watched still is; called about once a second."""

    def questions(self) -> Sequence[Statement]:
        """Return what a reading asks in its own transaction, before anything else."""

    async def take(self, connection: Connection, answers: Sequence[Rows]) -> bool:
        """Deliver what the answers to ``questions`` say; may ask more in their transaction.

        Returns whether something may be missing, so that every window must be read.
        """

    def read(self, snapshot: Snapshot, timeline: int, /) -> None:
        """Take note that a reading was completed."""

    async def settle(self) -> None:
        """Return when the next reading will have everything that was committed before."""
