"""Inspector: what a bridge holds, as JSON trees for operators.

Times are seconds since the epoch: a tree changes only when something did. Values of the scope are
masked: equal ones look alike within a process, and none can be read.
"""

import hashlib
import secrets
from collections.abc import Callable, Iterable, Sequence
from time import time
from typing import Any, Final

from bridge.core.errors import Failed, Kind
from bridge.core.frame import Frame
from bridge.core.op import NAMES
from bridge.live.hub import Hub
from bridge.live.shared_window import SharedWindow
from bridge.live.subscription import Subscription
from bridge.live.viewer import Viewer
from bridge.wire.query_json import query_tree

MAX_ENTRIES: Final = 1000
"""Entries of one answer; `total` counts all."""
HISTORY: Final = 300.0
"""Seconds of groups that are told of a window."""

Tree = dict[str, Any]


class Inspector:
    """Looks at a hub. `replicas` returns the state of each replica of the tier."""

    def __init__(self, hub: Hub, replicas: Callable[[], Sequence[Tree]]) -> None:
        self._hub = hub
        self._replicas = replicas
        self._salt = secrets.token_bytes(16)

    def subscriptions(self) -> Tree:
        """Return all subscriptions, those with the most viewers first, and the tier's replicas."""
        found = sorted(self._hub.all(), key=lambda each: (-len(each.viewers), each.number))
        return {
            "subscriptions": [self._subscription(each) for each in found[:MAX_ENTRIES]],
            "total": len(found),
            "replicas": list(self._replicas()),
            "draining": self._hub.draining,
        }

    def viewers(self) -> Tree:
        """Return all viewers, those that lag most first."""
        found = [
            _viewer(viewer, subscription)
            for subscription in self._hub.all()
            for viewer in subscription.viewers
        ]
        found.sort(key=lambda each: (-each["backlog_bytes"], -each["unsent"], each["since"]))
        return {"viewers": found[:MAX_ENTRIES], "total": len(found)}

    def groups(self, number: int, row: str | None) -> Tree:
        """Return what changed one window in the last minutes, the newest first.

        `row`: only what changed the row with that agg_id or its place, and how. Raises Failed.
        """
        for subscription in self._hub.all():
            if subscription.number == number:
                return self._subscription(subscription) | {
                    "groups": _groups(subscription.window, row)
                }
        raise Failed(Kind.NOT_FOUND, "there is no such subscription", field="id")

    def _subscription(self, subscription: Subscription) -> Tree:
        window, journal = subscription.window, subscription.window.journal
        return {
            "id": subscription.number,
            "entity": subscription.query.entity,
            "query": query_tree(subscription.query),
            "scope": {name: self._mask(value) for name, value in subscription.scope},
            "viewers": len(subscription.viewers),
            "holders": len(subscription.subscribers),
            "rows": len(window),
            "live": subscription.live,
            "stale": window.stale,
            "since": round(subscription.opened_at, 3),
            "groups": window.log.head,
            "history_bytes": window.log.size,
            "lag_ms": None if journal.lag is None else round(journal.lag * 1000, 1),
            "resets": dict(journal.resets),
            "repairs": dict(journal.repairs),
            "resubscribes": dict(journal.resubscribes),
        }

    def _mask(self, value: str) -> str:
        return "#" + hashlib.sha256(self._salt + value.encode()).hexdigest()[:8]


def _viewer(viewer: Viewer, subscription: Subscription) -> Tree:
    window = viewer.window
    behind, size, frames = 0, 0, 0
    if window is not None and window.log.tail <= (position := viewer.position) <= window.log.head:
        behind = window.log.head - position
        size, frames = window.log.backlog(position)
    return {
        "id": f"{hash((id(viewer), viewer.made_at)) & 0xFFFFFFFF:08x}",
        "subscription": subscription.number,
        "entity": subscription.query.entity,
        "since": round(viewer.made_at, 3),
        "frames": viewer.frames_written,
        "behind": behind,
        "backlog_frames": frames,
        "backlog_bytes": size,
        "unsent": viewer.send_buffer.unsent(),
        "conflations": viewer.conflations,
        "up_to_date": viewer.up_to_date,
        "in_step": viewer.lockstep is not None,
    }


def _groups(window: SharedWindow, row: str | None) -> list[Tree]:
    log, since = window.log, time() - HISTORY
    causes = {note.position: note for note in window.journal.notes()}
    told: list[Tree] = []
    place = None if row is None or window.streamed else _Place(row, log.rows_at(log.tail))
    note = None
    # A note is of the groups up to its position: the first group behind another note has it, too.
    for position, group in reversed(list(enumerate(log.held(), log.tail + 1))):
        note = causes.get(position, note)
        told.append(
            {
                "position": position,
                "received_at": None if note is None else round(note.at, 3),
                "at": group.at or None,
                "stream_id": group.stream_id,
                "cause": "change" if note is None else note.cause,
                "frames": [_frame(frame) for frame in group.frames],
            }
        )
    told.reverse()
    if place is not None:
        told = [
            {**tree, **moved}
            for tree, group in zip(told, log.held(), strict=True)
            if (moved := place.follow(group.frames))
        ]
    elif row is not None:
        told = [tree for tree in told if any(f["agg_id"] == row for f in tree["frames"])]
    recent = [tree for tree in told if tree["received_at"] is None or tree["received_at"] >= since]
    return recent[::-1]


def _frame(frame: Frame) -> Tree:
    return {
        "op": _op(frame),
        "agg_id": frame.agg_id,
        "version": frame.version,
        "old_index": frame.old_index,
        "new_index": frame.new_index,
    }


def _op(frame: Frame) -> str:
    return NAMES[frame.op] if 0 <= frame.op < len(NAMES) else NAMES[0]


class _Place:
    """Where one row is in a window, group by group."""

    def __init__(self, row: str, rows: Iterable[Frame]) -> None:
        self._row = row
        self._ids = [frame.agg_id for frame in rows]

    def follow(self, frames: Iterable[Frame]) -> Tree | None:
        """Apply a group; return what it did to the row and its place, None for nothing."""
        before, itself = self._index(), False
        for frame in frames:
            itself |= frame.agg_id == self._row
            self._apply(frame)
        after = self._index()
        if not itself and before == after:
            return None
        return {"row": {"before": before, "after": after, "by": "itself" if itself else "others"}}

    def _apply(self, frame: Frame) -> None:
        op = _op(frame)
        if op in ("enter", "move", "leave") and frame.agg_id in self._ids:
            self._ids.remove(frame.agg_id)
        if op in ("enter", "move"):
            self._ids.insert(frame.new_index, frame.agg_id)
        if op == "reset":
            self._ids.clear()

    def _index(self) -> int:
        """Return the row's index, -1 outside the window."""
        return self._ids.index(self._row) if self._row in self._ids else -1
