"""SessionTarget: what an upstream session needs of the subscription that it serves."""

from typing import Protocol

from bridge.core.group import Change
from bridge.core.query import LiveQuery
from bridge.core.sequencer import Snapshot

from .subscribers import Subscribers


class SessionTarget(Protocol):
    """A subscription, as its upstream session sees it."""

    subscribers: Subscribers
    """Who holds it, and on whose identity the next call is opened."""

    @property
    def query(self) -> LiveQuery:
        """The query for the next call."""

    @property
    def has_subscribers(self) -> bool:
        """Whether anybody is there for whom a lost call may be opened again."""

    def on_started(self) -> None:
        """Note that the tier has started a call."""

    def on_lost(self, cause: str) -> None:
        """Note that the tier is lost for a while, and another call will be opened."""

    def on_resumed(self) -> None:
        """Note that a new call continues where the lost one ended."""

    def replace(self, snapshot: Snapshot) -> None:
        """Replace the window."""

    def publish(self, groups: list[Change]) -> tuple[str, ...]:
        """Apply source changes. Return the repairs that it took: none if they fitted the window."""
