"""Log: the groups of one subscription by position, and the window at any position still held.

A position counts groups. Viewers hold positions instead of queues, so a backlog is kept once,
however many viewers lag behind it. Windows are rebuilt from a checkpoint every 64 groups.

What clients are told of a position carries a random token: no other subscription, replica or
restart mistakes it for its own. A barrier changes the token: nothing before it is replayed.
"""

import secrets
from array import array
from collections import deque
from collections.abc import Callable, Sequence

from .bundle import Bundle
from .frame import Frame
from .group import Change
from .window import Rows, Window

CHECKPOINT_EVERY = 64
CHECKPOINT_BYTES = 256 * 1024
MAX_GROUPS = 1024
MAX_BYTES = 4 * 1024 * 1024
_UNBOUNDED = 2**31


class Log:
    """Groups from `tail` to `head`; `rows` is the window it begins with.

    A streamed log keeps no windows: there is no order to rebuild, and ids speak for themselves.
    """

    def __init__(self, rows: Rows, *, streamed: bool = False) -> None:
        self._streamed = streamed
        self.head = 0
        self.tail = 0
        self._token = secrets.token_hex(6)
        self._barrier = 0
        self._groups: list[Change] = []
        # Bytes, and frames, from the beginning of time to before each group, and to the head.
        self._bytes = array("q", [0])
        self._frames = array("q", [0])
        self._checkpoints: deque[tuple[int, Rows]] = deque([(0, () if streamed else rows)])
        self._due, self._due_bytes = CHECKPOINT_EVERY, CHECKPOINT_BYTES
        self._bundles: dict[int, Bundle] = {}

    def append(self, group: Change, rows: Callable[[], Rows]) -> None:
        """Add a group; `rows` tells the window after it, where a checkpoint is due."""
        size, count = self._bytes[-1], self._frames[-1]
        if isinstance(group, Frame):
            size += len(group.data)
            count += 1
        else:
            size += sum([len(frame.data) for frame in group.frames])
            count += len(group.frames)
        self._bundles.clear()
        self._groups.append(group)
        self._bytes.append(size)
        self._frames.append(count)
        self.head += 1
        if self.head >= self._due or size >= self._due_bytes:
            self._checkpoints.append((self.head, () if self._streamed else rows()))
            self._due, self._due_bytes = self.head + CHECKPOINT_EVERY, size + CHECKPOINT_BYTES

    def invalidate_positions(self) -> None:
        """End what may be replayed: what comes next does not follow from what was told before."""
        self._barrier = self.head
        self._token = secrets.token_hex(6)

    # ------------------------------------------------------------ what follows a position

    def since(self, position: int) -> Bundle:
        """Return the groups after a position that is still held; the same bundle to everybody."""
        bundle = self._bundles.get(position)
        if bundle is None:
            bundle = self._bundles[position] = self.bundle(self._slice(position, self.head))
        return bundle

    def bundle(self, groups: Sequence[Change]) -> Bundle:
        """Bundle groups of which the last leads to the head."""
        return Bundle(groups, self._token, self.head)

    def backlog(self, position: int) -> tuple[int, int]:
        """Return bytes and frames between a position and the head."""
        at = position - self.tail
        return self._bytes[-1] - self._bytes[at], self._frames[-1] - self._frames[at]

    def rows_at(self, position: int) -> Rows:
        """Rebuild the window at a position that is still held (maintained windows only)."""
        at, rows = next(c for c in reversed(self._checkpoints) if c[0] <= position)
        if at == position:
            return rows
        # Groups in a log are repaired already: the reducer alone follows them, at any limit.
        window = Window(_UNBOUNDED, rows)
        for group in self._slice(at, position):
            window.reduce(group.frames)
        return window.snapshot()

    def _slice(self, begin: int, end: int) -> list[Change]:
        return self._groups[begin - self.tail : end - self.tail]

    # ------------------------------------------------------------ what clients are told

    def parse_position(self, pos: str) -> int | None:
        """Return the position that a client names, None if it can't be replayed from."""
        token, _, number = pos.partition(".")
        if token != self._token or not number.isascii() or not number.isdecimal():
            return None
        position = int(number[:18])
        return position if max(self.tail, self._barrier) <= position <= self.head else None

    def find_group(self, stream_id: str) -> int | None:
        """Return the position before the group of this name, None if it can't be replayed.

        It can if the name is that of exactly one group, and that group after any part of itself
        ends in the same window: the client may have half of it (docs/wire.md §3).
        """
        if not stream_id:
            return None
        found = [
            at for at, group in enumerate(self._groups, self.tail) if group.stream_id == stream_id
        ]
        if len(found) != 1 or found[0] < self._barrier:
            return None
        return found[0] if self._repeats(found[0]) else None

    def _repeats(self, position: int) -> bool:
        if self._streamed:
            return True
        before, after = self.rows_at(position), _shape(self.rows_at(position + 1))
        [group] = self._slice(position, position + 1)
        for part in range(1, len(group.frames) + 1):
            window = Window(_UNBOUNDED, before)
            window.reduce(group.frames[:part])
            window.reduce(group.frames)
            if _shape(window.snapshot()) != after:
                return False
        return True

    # ------------------------------------------------------------ bounds

    @property
    def size(self) -> int:
        """Bytes of all groups held."""
        return self._bytes[-1] - self._bytes[0]

    @property
    def full(self) -> bool:
        """Whether it holds more than it should."""
        return len(self._groups) > MAX_GROUPS or self.size > MAX_BYTES

    def trim(self, *, keep: int) -> None:
        """Forget the oldest groups beyond the bounds, but none after the position `keep`."""
        while self.full and self.shrink(keep=keep):
            pass

    def shrink(self, *, keep: int) -> bool:
        """Forget the groups before the next checkpoint; whether there were any to forget."""
        if len(self._checkpoints) == 1 or self._checkpoints[1][0] > keep:
            return False
        self._checkpoints.popleft()
        forgotten = self._checkpoints[0][0] - self.tail
        del self._groups[:forgotten], self._bytes[:forgotten], self._frames[:forgotten]
        self.tail += forgotten
        self._bundles.clear()
        return True


def _shape(rows: Rows) -> list[tuple[str, int, bytes]]:
    return [(row.agg_id, row.version, row.row) for row in rows]
