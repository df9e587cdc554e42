"""Anchor: which query a subscription's window is of, while reanchors in place move it.

Laws: `query` and `in_force` are those of the window held, but that from the tier's yes on a call
that is lost is opened again at the new anchor; which window answers a reanchor is told by its
label, or, where the tier sets none, by there being one reanchor at a time.
"""

import asyncio
import secrets
from dataclasses import dataclass

from bridge.core.query import LiveQuery
from bridge.core.sequencer import Snapshot


@dataclass(slots=True, eq=False)
class PendingReanchor:
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


class ReanchorState:
    """One subscription's. Knows queries and labels, and no window."""

    def __init__(self, query: LiveQuery) -> None:
        self.query = query
        """The query asked for; its limit is the one asked for, whatever the tier makes of it."""
        self.in_force = query
        """The same, at the tier's own limit."""
        self.slide: PendingReanchor | None = None
        """The last reanchor in place that is under way."""
        self._overtaken: dict[str, LiveQuery] = {}
        self._labels = False  # the tier says which Reanchor a window answers

    @property
    def free(self) -> bool:
        """Whether another reanchor may begin: its answer must be told from any other."""
        return self.slide is None or self._labels

    def begin(self, query: LiveQuery) -> PendingReanchor:
        """Begin to slide to `query`."""
        if self.slide is not None:
            self._overtaken[self.slide.request_id] = self.slide.query
        done = asyncio.get_running_loop().create_future()
        self.slide = PendingReanchor(query, secrets.token_hex(8), done)
        return self.slide

    def agreed(self, slide: PendingReanchor, effective: LiveQuery | None) -> LiveQuery:
        """Take the tier's yes, which may come before the window or after; returns what it runs."""
        slide.in_force = in_force = _at_own_limit(slide.query, effective)
        self.query = slide.query
        return in_force

    def refused(self, slide: PendingReanchor, was: LiveQuery) -> None:
        """Take the tier's no."""
        self.query = was
        if self.slide is slide:
            self.slide = None

    def answered(self, event: Snapshot, effective: LiveQuery | None) -> PendingReanchor | None:
        """Return the reanchor that a window answers, and take note of the limit it is at.

        `effective` is the query as the tier said that it runs this call.
        """
        slide = self.slide
        if slide is not None and not slide.answered_by(event):
            if event.first:
                self.slide = None  # the call that was to slide is gone
            slide = None
        if slide is not None:
            self.query, self.slide = slide.query, None
            # Before the tier's yes, a window without a label may yet be one of the old anchor.
            likely = slide.query if event.request_id else _larger(slide.query, self.in_force)
            self.in_force = slide.in_force or likely
        elif event.first:
            self.in_force = _at_own_limit(self.query, effective)
        elif event.request_id in self._overtaken:
            self.in_force = self._overtaken[event.request_id]
        if slide is not None or event.first:
            self._overtaken.clear()
        self._labels |= bool(event.request_id)
        return slide


def _at_own_limit(asked: LiveQuery, effective: LiveQuery | None) -> LiveQuery:
    """Return what was asked, at the tier's own limit where that is smaller."""
    if effective is None or not 0 < effective.limit < asked.limit:
        return asked
    return asked.reanchored(asked.cursor, effective.limit)


def _larger(one: LiveQuery, other: LiveQuery) -> LiveQuery:
    return one if one.limit > other.limit else other
