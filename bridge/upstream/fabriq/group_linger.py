"""GroupLinger: fabriq's deltas come one by one; those of one source change are one group.

A group is what shares a stream_id and arrives within a moment of the delta before.

Invariants: deltas are handed over in their order; at most LINGER after the last of them; at most
MAX_GROUP in one batch.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from bridge.core.batch import Batch
from bridge.core.frame import Frame

LINGER: Final = 0.001
"""Seconds after a delta in which another of the same change is waited for."""
MAX_GROUP: Final = 1000


class GroupLinger:
    """Collects the deltas of one call.

    Args:
        hand_over: gets each group. What it raises is raised by `add` and `flush`.
        on_error: gets what `hand_over` raises when a group is handed over by time.

    """

    def __init__(
        self, hand_over: Callable[[Batch], None], on_error: Callable[[Exception], None]
    ) -> None:
        self._hand_over = hand_over
        self._on_error = on_error
        self._loop = asyncio.get_running_loop()
        self._frames: list[Frame] = []
        self._last = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, frame: Frame) -> None:
        """Add a delta."""
        frames = self._frames
        if frames and (frames[0].stream_id != frame.stream_id or len(frames) == MAX_GROUP):
            self.flush()
            frames = self._frames
        frames.append(frame)
        self._last = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(LINGER, self._on_timer)

    def flush(self) -> None:
        """Hand over what there is."""
        if self._frames:
            frames, self._frames = self._frames, []
            self._hand_over(Batch(tuple(frames)))

    def stop(self) -> None:
        """Hand over nothing more. Idempotent."""
        self._frames = []
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self) -> None:
        self._timer = None
        if not self._frames:
            return
        if (left := self._last + LINGER - self._loop.time()) > 0:
            self._timer = self._loop.call_later(left, self._on_timer)
            return
        try:
            self.flush()
        except Exception as error:  # noqa: BLE001 - the reader's own error
            self._on_error(error)
