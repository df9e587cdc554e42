"""Frame: one change to a window, as the tier sent it and as clients receive it (docs/wire.md §2).

A change is encoded once, however many viewers there are.
"""

import msgspec

from .frame_text import prefix, suffix
from .gojson import escape


class Frame(msgspec.Struct, frozen=True, eq=False, gc=False):
    """One change: `data` is the encoded FRAME, `cursor` a part of it.

    `op` is a plain int: numbers that the schema does not list are passed through. Indexes are
    positions at this step of a sequential apply; -1 is outside the window. `stream_id` names the
    source change. `at` is the time of the change in seconds since the epoch, 0 if unknown. `data`
    is empty if the change must not reach a client.

    Frames compare by identity: the searches in a window rely on it.
    """

    op: int
    agg_id: str
    version: int
    cursor: bytes
    old_index: int
    new_index: int
    stream_id: str
    data: bytes
    at: float = 0.0

    @property
    def frames(self) -> tuple["Frame", ...]:
        """This frame alone: a single frame is a group of its own (see `group.Change`)."""
        return (self,)

    @property
    def body(self) -> bytes:
        """The members `agg_id`, `version` and `row` as encoded in `data`, with their keys.

        Sliced from `data` on each access: most frames are only passed on.
        """
        end = escape(suffix(self.old_index, self.new_index, self.cursor, self.stream_id))
        return self.data[len(prefix(self.op)) : len(self.data) - len(end)]

    @property
    def row(self) -> bytes:
        """The row as encoded in `data`, empty for none."""
        # An encoded id can't contain this: its quotes are escaped.
        return self.body.partition(b',"row":')[2]


class UnreadableFrame(Frame, frozen=True, eq=False, gc=False):
    """A change that must not reach a client: its `data` is empty.

    `reason` says why; `excerpt` is the beginning of its row, for debugging.
    """

    reason: str = ""
    excerpt: bytes = b""
