"""OldNews: a call that brings nothing but deltas that were seen before, for too long."""

from typing import Final

from bridge.core.frame import Frame
from bridge.core.sequencer import Resync

from .observer import Observer

OLD_NEWS_TIMEOUT: Final = 10.0
"""Seconds for which a call may bring nothing but deltas that are old, or were seen before."""


class OldNews:
    """Kept for one call."""

    __slots__ = ("_news", "_observer", "_since")

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._news: Frame | None = None  # when a delta was dropped
        self._since: float | None = None  # None: no delta was dropped yet

    def on_dropped(self, count: int, news: Frame | None, now: float) -> None:
        """Count deltas that were dropped; `news`: the last one that was none of them.

        Raises:
            Resync: the call has long brought no other.

        """
        for _ in range(count):
            self._observer.repaired("repeated")
        if self._since is None or news is not self._news:
            self._news, self._since = news, now
        elif now - self._since >= OLD_NEWS_TIMEOUT:
            raise Resync(
                "gap", f"nothing but old deltas for {OLD_NEWS_TIMEOUT:g} s: see epoch and first_seq"
            )
