"""ReanchorState: which query a subscription's window is of, while the tier moves it in place.

Invariants: `query` and `effective` are those of the window held, except that after the tier's
acceptance a lost call is opened again with the new query; the snapshot that answers a reanchor is
known by its request id, or, if the tier sends none, because only one reanchor is pending.
"""

import asyncio
import secrets
from dataclasses import dataclass

from bridge.core.query import LiveQuery
from bridge.core.sequencer import Snapshot


@dataclass(slots=True, eq=False)
class PendingReanchor:
    """A reanchor under way. `effective` is set once the tier has accepted it."""

    query: LiveQuery
    request_id: str
    done: asyncio.Future[None]
    effective: LiveQuery | None = None

    def is_answered_by(self, snapshot: Snapshot) -> bool:
        """Return whether a snapshot is the window asked for."""
        if snapshot.first:
            return self.effective is not None
        if snapshot.reanchor is False:
            return False
        return not snapshot.request_id or snapshot.request_id == self.request_id


class ReanchorState:
    """The queries of one subscription."""

    def __init__(self, query: LiveQuery) -> None:
        self.query = query
        """The query asked for, at the limit asked for."""
        self.effective = query
        """The same query, at the tier's own limit."""
        self.pending: PendingReanchor | None = None
        """The last reanchor under way."""
        self._superseded: dict[str, LiveQuery] = {}
        self._has_request_ids = False  # whether the tier sends them

    @property
    def can_begin(self) -> bool:
        """Whether another reanchor may begin: the answers to two must be distinguishable."""
        return self.pending is None or self._has_request_ids

    def begin(self, query: LiveQuery) -> PendingReanchor:
        """Begin a reanchor to `query`."""
        if self.pending is not None:
            self._superseded[self.pending.request_id] = self.pending.query
        done = asyncio.get_running_loop().create_future()
        self.pending = PendingReanchor(query, secrets.token_hex(8), done)
        return self.pending

    def accept(self, pending: PendingReanchor, answer: LiveQuery | None) -> LiveQuery:
        """Note that the tier accepted, before its snapshot or after. Return the effective query."""
        pending.effective = effective = _with_lower_limit(pending.query, answer)
        self.query = pending.query
        return effective

    def reject(self, pending: PendingReanchor, previous: LiveQuery) -> None:
        """Note that the tier refused."""
        self.query = previous
        if self.pending is pending:
            self.pending = None

    def on_snapshot(
        self, snapshot: Snapshot, call_effective: LiveQuery | None
    ) -> PendingReanchor | None:
        """Return the reanchor that a snapshot answers, and set the queries of the window.

        `call_effective` is the query as the tier runs this call, None where it did not say.
        """
        pending = self.pending
        if pending is not None and not pending.is_answered_by(snapshot):
            if snapshot.first:
                self.pending = None  # the call that it was asked of is gone
            pending = None
        if pending is not None:
            self.query, self.pending = pending.query, None
            # Before the tier's acceptance, a snapshot without a request id may be of either query.
            with_id = snapshot.request_id
            likely = pending.query if with_id else _larger(pending.query, self.effective)
            self.effective = pending.effective or likely
        elif snapshot.first:
            self.effective = _with_lower_limit(self.query, call_effective)
        elif snapshot.request_id in self._superseded:
            self.effective = self._superseded[snapshot.request_id]
        if pending is not None or snapshot.first:
            self._superseded.clear()
        self._has_request_ids |= bool(snapshot.request_id)
        return pending


def _with_lower_limit(query: LiveQuery, effective: LiveQuery | None) -> LiveQuery:
    """Return the query at the tier's own limit, if that is lower."""
    if effective is None or not 0 < effective.limit < query.limit:
        return query
    return query.reanchored(query.cursor, effective.limit)


def _larger(one: LiveQuery, other: LiveQuery) -> LiveQuery:
    return one if one.limit > other.limit else other
