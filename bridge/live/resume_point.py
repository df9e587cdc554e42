"""ResumePoint: where an upstream call ended, to be offered to the next one.

Invariants: what is offered is exactly what viewers were given, and of the query that is asked for;
nothing is offered after any doubt about the window, until the next snapshot. So a tier that accepts
an offer it can't serve, or that refuses all offers, is asked once more without one.
"""

from bridge.core.errors import Failed, Kind, StatusSource
from bridge.core.query import LiveQuery
from bridge.core.sequencer import CallPosition, Resync, Sequencer, Snapshot

from .backend import ResumeOffer, UpstreamCall

# These end a call without doubt about what it has brought, and so does every derived status.
# The tier's own BROKEN is not among them: a message that can't be read would come again.
_HARMLESS = frozenset([Kind.UNAVAILABLE, Kind.DEADLINE, Kind.QUOTA, Kind.UNAUTHENTICATED])


class ResumePoint:
    """Kept by a session over its calls, one after the other."""

    def __init__(self) -> None:
        self._saved: ResumeOffer | None = None  # where the last call ended
        self._query: LiveQuery | None = None  # what the window is of
        self._valid = False  # whether the window is what the tier sent
        self._reanchor_id = ""  # the request id of a reanchor without an answer yet
        self._offered: ResumeOffer | None = None  # to the call that is being opened
        self._resumed = False  # whether the present call continues an earlier one

    @property
    def offer_pending(self) -> bool:
        """Whether an offer was made that has no answer yet."""
        return self._offered is not None

    def offer(self, query: LiveQuery) -> ResumeOffer | None:
        """Return what to offer to a call that asks for `query`, None if there is nothing."""
        self._offered = self._saved if self._query == query else None
        return self._offered

    def accept(self, call: UpstreamCall) -> CallPosition | None:
        """Read the answer to an offer. Return where the call continues, None if it begins anew.

        A call under another id is no resume: its numbers are of something else. Nor is one that
        was not offered anything.
        """
        offered, self._offered = self._offered, None
        self._resumed = offered is not None and call.resumed and call.id == offered.id
        if offered is None or not self._resumed:
            return None
        self._saved = None
        return offered.position

    def on_snapshot(self, snapshot: Snapshot, query: LiveQuery) -> None:
        """Note that viewers were given a snapshot of `query`."""
        if snapshot.first or snapshot.request_id == self._reanchor_id:
            self._reanchor_id = ""
        self._saved, self._query, self._valid = None, query, True
        self._resumed = False

    def on_reanchor(self, request_id: str) -> None:
        """Note that the tier is asked to move the window: until it answers, its query is unsure."""
        self._reanchor_id = request_id

    def invalidate(self) -> None:
        """Offer nothing until the next snapshot."""
        self._saved, self._valid = None, False

    def save(self, call: UpstreamCall, sequencer: Sequencer) -> None:
        """Save where a call ends. It is about to be closed."""
        position = sequencer.position
        if position is not None:
            exact = self._valid and call.id and not self._reanchor_id
            self._saved = ResumeOffer(call.id, call.route, position) if exact else None

    def on_call_ended(self, reason: Resync | Failed) -> None:
        """Invalidate the window if the reason why a call, or its opening, ended casts doubt."""
        if isinstance(reason, Resync):
            harmless = reason.cause == "silence" and not self._resumed
        else:
            harmless = reason.source.derived or reason.kind in _HARMLESS
            if self.offer_pending and self._may_be_the_offers(reason):
                harmless = False
        if not harmless:
            self.invalidate()
        self._offered, self._resumed = None, False

    @staticmethod
    def _may_be_the_offers(failure: Failed) -> bool:
        """Return whether a call that was offered a position may have failed for it.

        A tier that was slow, or that broke off, may do better without one.
        """
        broke_off = failure.kind is Kind.BROKEN and failure.source is StatusSource.STREAM
        return broke_off or failure.kind is Kind.DEADLINE
