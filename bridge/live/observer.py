"""Observer: what the live layer reports for metrics, without knowing who counts."""

from .change_times import Runs
from .stream_end import EndReason


class Observer:
    """Ignores all events. Telemetry overrides those that it counts."""

    def subscribed(self) -> None:
        """Note that an upstream call was opened."""

    def unsubscribed(self) -> None:
        """Note that an upstream call is closed."""

    def attached(self) -> None:
        """Note that a viewer was attached."""

    def detached(self, reason: EndReason) -> None:
        """Note that an attached viewer's stream ended."""

    def sent(self, frames: int, size: int) -> None:
        """Note frames and bytes handed to sockets."""

    def written(self, now: float, times: Runs) -> None:
        """Note the times of changes that were written, `now`, to every viewer with room."""

    def conflated(self) -> None:
        """Note that a slow viewer's backlog was replaced by a catch-up."""

    def repaired(self, cause: str) -> None:
        """Note that the mirror repaired what the tier sent."""

    def resubscribed(self, cause: str) -> None:
        """Note that a call is lost, and another one will be opened."""

    def offered(self, *, granted: bool) -> None:
        """Note that the tier answered a resume offer."""

    def replaced(self, cause: str) -> None:
        """Note that the tier sent a snapshot."""
