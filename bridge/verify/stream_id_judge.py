"""Judges the stream_ids of one stream's changes. Pure."""

from . import rules
from .ledger import Ledger

UNFIT = ("\r", "\n", "\0")
"""What neither an SSE `id:` line nor a header can hold."""


class StreamIdJudge:
    """Follows the stream_ids of groups; an empty one says nothing."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._seen: set[str] = set()
        self._last = ""

    def reset(self) -> None:
        """Forget what came before a reset."""
        self._seen.clear()
        self._last = ""

    def group(self, stream_id: str, *, first: bool) -> bool:
        """Judge a group's id; `first` is its batch's first.

        Returns whether the group goes on with the change that the batch before ended with.
        """
        last, self._last = self._last, stream_id
        if not stream_id:
            return False
        unfit = any(mark in stream_id for mark in UNFIT)
        expected = "a stream_id without CR, LF and NUL"
        self._ledger.check(rules.STREAM_ID, not unfit, expected, repr(stream_id))
        if first and stream_id == last:
            return True
        self._ledger.check(
            rules.STREAM_ID,
            stream_id not in self._seen,
            "a stream_id of its own for each change",
            f"{stream_id!r} again",
        )
        self._seen.add(stream_id)
        return False
