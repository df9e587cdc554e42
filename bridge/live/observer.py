"""Observer: what the live floor counts and tells, without knowing who listens."""

from collections.abc import Sequence

from .stream_end import EndReason


class Observer:
    """Counts nothing; telemetry overrides what it wants to know."""

    def subscribed(self) -> None:
        """Note that an upstream subscription was opened."""

    def unsubscribed(self) -> None:
        """Note that an upstream subscription is closed."""

    def attached(self) -> None:
        """Note that a viewer joined."""

    def detached(self, reason: EndReason) -> None:
        """Note that a viewer's stream ended."""

    def sent(self, frames: int, size: int) -> None:
        """Note frames and bytes handed to a socket."""

    def written(self, times: Sequence[float]) -> None:
        """Note changes that were just written to every viewer with room, by their times."""

    def conflated(self) -> None:
        """Note that a slow viewer's backlog became a diff."""

    def repaired(self, cause: str) -> None:
        """Note that the guard mended what the tier sent."""

    def resubscribed(self, cause: str) -> None:
        """Note that an upstream call was given up and another one is opened."""

    def offered(self, *, granted: bool) -> None:
        """Note whether the tier goes on from a position that it was offered."""

    def replaced(self, cause: str) -> None:
        """Note that the tier sent a whole window."""
