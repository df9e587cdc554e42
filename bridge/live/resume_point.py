"""Bookmark: where a window stands in the tier's words, to be offered to the next call.

Laws: what is offered is exactly what viewers have been handed, and of the query that is asked for;
whatever gives reason to doubt the window takes it away until a whole one has come. So a tier that
grants what it can't keep, or refuses to be offered anything, is asked once more as if there were no
position.
"""

from bridge.core.errors import Failed, Kind
from bridge.core.query import LiveQuery
from bridge.core.sequencer import CallPosition, Resync, Sequencer, Snapshot

from .backend import ResumeOffer, UpstreamCall

# What ends a call and says nothing against what it has brought. Not BROKEN: a message that can't
# be read would come again.
_HARMLESS = frozenset([Kind.UNAVAILABLE, Kind.DEADLINE, Kind.QUOTA, Kind.UNAUTHENTICATED])


class ResumePoint:
    """Kept by a feed over its calls, one after the other."""

    def __init__(self) -> None:
        self._left: ResumeOffer | None = None  # where the last call that led the window on was left
        self._query: LiveQuery | None = None  # what the window is of
        self._sound = False
        self._sliding = ""  # the Reanchor asked of the present call and not seen to be answered
        self._offered: ResumeOffer | None = None  # to the call that is being opened
        self.resumed = False
        """Whether the present call goes on where another was left."""

    @property
    def out(self) -> bool:
        """Whether an offer was made that has not been answered."""
        return self._offered is not None

    def offer(self, query: LiveQuery) -> ResumeOffer | None:
        """Return what to offer to a call that asks for `query`, if there is anything."""
        self._offered = self._left if self._query == query else None
        return self._offered

    def answered(self, sub: UpstreamCall) -> CallPosition | None:
        """Take the answer to an offer; returns where the call goes on, None if it begins anew.

        Under another name its numbers would be of something else, so that is no resume; nor is
        one that was not asked for.
        """
        offered, self._offered = self._offered, None
        self.resumed = offered is not None and sub.resumed and sub.id == offered.id
        if offered is None or not self.resumed:
            return None
        self._left = None
        return offered.position

    def whole(self, snapshot: Snapshot, query: LiveQuery) -> None:
        """Take note that a whole window, of `query`, was handed over."""
        if snapshot.first or snapshot.request_id == self._sliding:
            self._sliding = ""
        self._left, self._query, self._sound = None, query, True
        self.resumed = False

    def sliding(self, request_id: str) -> None:
        """Take note that the tier is asked to slide the window: whose it is, its answer tells."""
        self._sliding = request_id

    def doubt(self) -> None:
        """ResumeOffer nothing until a whole window has come."""
        self._left, self._sound = None, False

    def leave(self, sub: UpstreamCall, sequencer: Sequencer) -> None:
        """Keep where a call is left, which is about to be closed."""
        position = sequencer.position
        if position is not None:
            exact = self._sound and sub.id and not self._sliding
            self._left = ResumeOffer(sub.id, sub.route, position) if exact else None

    def lost(self, why: Resync | Failed) -> None:
        """Judge by its end whether a call, or the opening of one, casts doubt on the window."""
        if isinstance(why, Resync):
            harmless = why.cause == "silence" and not self.resumed
        else:
            # Who was slow to answer an offer may be quicker without.
            harmless = why.kind in _HARMLESS and not (self.out and why.kind is Kind.DEADLINE)
        if not harmless:
            self.doubt()
        self._offered, self.resumed = None, False
