"""Group: the frames of one source change, which clients apply together."""

from typing import TypeAlias

import msgspec

from .frame import Frame


class Group(msgspec.Struct, frozen=True, eq=False, gc=False):
    """Frames that clients apply together, in order.

    `stream_id` names the source change; it is empty for snapshots and diffs made by the bridge.
    `at` is the time of the change in seconds since the epoch, 0 if unknown.

    `gc=False`: a group is part of no reference cycle, and logs hold many groups.
    """

    frames: tuple[Frame, ...]
    stream_id: str = ""
    at: float = 0.0


Change: TypeAlias = Frame | Group
"""What clients apply together. Most changes are one frame, which needs no `Group` around it."""
