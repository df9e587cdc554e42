"""Log: the groups of one subscription by position, and the window at every position held.

A position counts groups. Viewers hold positions instead of queues, so a backlog is kept once for
all viewers that lag. A window is rebuilt from the last checkpoint before it; a checkpoint is kept
every 64 groups or 256 KiB.

Clients receive a position with a random token (`format_position`), so that no other subscription,
replica or restart accepts it. `invalidate_positions` changes the token.
"""

import secrets
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from .bundle import Bundle, format_position
from .frame import Frame
from .group import Change
from .window import Rows, Window

CHECKPOINT_EVERY = 64
CHECKPOINT_BYTES = 256 * 1024
MAX_GROUPS = 1024
MAX_BYTES = 4 * 1024 * 1024
_UNBOUNDED: Final = 2**31


class _Checkpoint(NamedTuple):
    """The window at a position; bytes and frames of all groups ever logged before it."""

    position: int
    rows: Rows
    size: int
    frames: int


class Log:
    """Groups from position `tail` to position `head`; `rows` is the window at position 0.

    The log of a streamed query keeps no windows: a streamed set has no order to rebuild.
    """

    def __init__(self, rows: Rows, *, streamed: bool = False) -> None:
        self._streamed = streamed
        self.head = 0
        self.tail = 0
        self._token = secrets.token_hex(6)
        self._replayable_from = 0
        self._groups: list[Change] = []
        # Bytes and frames of all groups ever logged. Up to a position they are seldom asked for, so
        # counted from the checkpoint before it: totals with each group cost more than all else.
        self._bytes = self._frames = self._dropped_bytes = 0
        self._checkpoints = deque([_Checkpoint(0, () if streamed else rows, 0, 0)])
        self._next_checkpoint, self._next_checkpoint_bytes = CHECKPOINT_EVERY, CHECKPOINT_BYTES
        self._bundles: dict[int, Bundle] = {}

    def append(self, group: Change, rows: Callable[[], Rows]) -> None:
        """Add a group; `rows` returns the window after it, and is called for a checkpoint only."""
        if isinstance(group, Frame):
            self._bytes += len(group.data)
            self._frames += 1
        else:
            size, frames = _measure((group,))
            self._bytes += size
            self._frames += frames
        if self._bundles:
            self._bundles.clear()
        self._groups.append(group)
        self.head += 1
        if self.head >= self._next_checkpoint or self._bytes >= self._next_checkpoint_bytes:
            self._add_checkpoint(() if self._streamed else rows())

    def _add_checkpoint(self, rows: Rows) -> None:
        self._checkpoints.append(_Checkpoint(self.head, rows, self._bytes, self._frames))
        self._next_checkpoint = self.head + CHECKPOINT_EVERY
        self._next_checkpoint_bytes = self._bytes + CHECKPOINT_BYTES

    # ------------------------------------------------------------ groups after a position

    def since(self, position: int) -> Bundle:
        """Return the groups after a position held; the same bundle until a group is added."""
        bundle = self._bundles.get(position)
        if bundle is None:
            bundle = self._bundles[position] = self.bundle(self._slice(position, self.head))
        return bundle

    def bundle(self, groups: Sequence[Change]) -> Bundle:
        """Return a bundle of groups that ends at the head."""
        return Bundle(groups, self._token, self.head)

    def held(self) -> Sequence[Change]:
        """Return the groups held: those after `tail`, in order."""
        return tuple(self._groups)

    def backlog(self, position: int) -> tuple[int, int]:
        """Return the bytes and the frames between a position held and the head."""
        if position == self.head:
            return 0, 0
        checkpoint = self._checkpoint_before(position)
        size, frames = _measure(self._slice(checkpoint.position, position))
        return self._bytes - checkpoint.size - size, self._frames - checkpoint.frames - frames

    def rows_at(self, position: int) -> Rows:
        """Rebuild the window at a position held (maintained queries only)."""
        at, rows, _, _ = self._checkpoint_before(position)
        if at == position:
            return rows
        # Groups in a log are repaired already, so the reducer follows them without a limit.
        window = Window(_UNBOUNDED, rows)
        for group in self._slice(at, position):
            window.reduce(group.frames)
        return window.snapshot()

    def _checkpoint_before(self, position: int) -> _Checkpoint:
        """Return the last checkpoint that is not after a position held."""
        return next(c for c in reversed(self._checkpoints) if c.position <= position)

    def _slice(self, begin: int, end: int) -> list[Change]:
        return self._groups[begin - self.tail : end - self.tail]

    # ------------------------------------------------------------ resume

    @property
    def head_position(self) -> str:
        """The position of the head, as clients receive it."""
        return format_position(self._token, self.head)

    def invalidate_positions(self) -> None:
        """Invalidate all positions that clients have: nothing before the head is replayed any more.

        For a change whose groups are no continuation of those that clients were sent.
        """
        self._replayable_from = self.head
        self._token = secrets.token_hex(6)

    def parse_position(self, pos: str) -> int | None:
        """Return the position that a client names (v1 `pos`), None if it can't be replayed from."""
        token, _, number = pos.partition(".")
        if token != self._token or not number.isascii() or not number.isdecimal():
            return None
        position = int(number[:18])
        oldest = max(self.tail, self._replayable_from)
        return position if oldest <= position <= self.head else None

    def find_group(self, stream_id: str) -> int | None:
        """Return the position before the group of this stream_id, None if it can't be replayed.

        A group can be replayed if no other one has its stream_id, and if applying it after any part
        of itself ends in the same window: the client may have half of it (docs/wire.md §3).
        """
        if not stream_id:
            return None
        found = [
            at for at, group in enumerate(self._groups, self.tail) if group.stream_id == stream_id
        ]
        if len(found) != 1 or found[0] < self._replayable_from:
            return None
        return found[0] if self._is_repeatable(found[0]) else None

    def _is_repeatable(self, position: int) -> bool:
        if self._streamed:
            return True
        before, after = self.rows_at(position), _contents(self.rows_at(position + 1))
        [group] = self._slice(position, position + 1)
        for part in range(1, len(group.frames) + 1):
            window = Window(_UNBOUNDED, before)
            window.reduce(group.frames[:part])
            window.reduce(group.frames)
            if _contents(window.snapshot()) != after:
                return False
        return True

    # ------------------------------------------------------------ bounds

    @property
    def size(self) -> int:
        """Bytes of all groups held."""
        return self._bytes - self._dropped_bytes

    @property
    def full(self) -> bool:
        """Whether the log is beyond one of its bounds."""
        return len(self._groups) > MAX_GROUPS or self.size > MAX_BYTES

    def trim(self, *, keep: int) -> None:
        """Drop the oldest groups while the log is full, but none after position `keep`."""
        while self.full and self.shrink(keep=keep):
            pass

    def shrink(self, *, keep: int) -> bool:
        """Drop the groups before the second checkpoint, unless position `keep` needs them.

        Returns whether any were dropped.
        """
        if len(self._checkpoints) == 1 or self._checkpoints[1].position > keep:
            return False
        self._checkpoints.popleft()
        oldest = self._checkpoints[0]
        self._dropped_bytes = oldest.size
        dropped = oldest.position - self.tail
        del self._groups[:dropped]
        self.tail += dropped
        self._bundles.clear()
        return True


def _measure(groups: Iterable[Change]) -> tuple[int, int]:
    """Return bytes and frames of groups."""
    size = frames = 0
    for group in groups:
        for frame in group.frames:
            size += len(frame.data)
            frames += 1
    return size, frames


def _contents(rows: Rows) -> list[tuple[str, int, bytes]]:
    return [(row.agg_id, row.version, row.row) for row in rows]
