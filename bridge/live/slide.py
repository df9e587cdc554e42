"""Slide: a reanchor in place, from the wish to the whole new window."""

import asyncio
from dataclasses import dataclass

from bridge.core.intake import Snapshot
from bridge.core.query import LiveQuery


@dataclass(slots=True)
class Slide:
    """A reanchor in place under way. `in_force` is set once the tier has agreed to it."""

    query: LiveQuery
    request_id: str
    done: asyncio.Future[None]
    in_force: LiveQuery | None = None

    def answered_by(self, event: Snapshot) -> bool:
        """Whether a snapshot is the window asked for."""
        if event.first:
            return self.in_force is not None
        if event.reanchor is False:
            return False
        return not event.request_id or event.request_id == self.request_id
