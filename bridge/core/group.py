"""Group: the frames of one source change, which clients apply as one."""

from typing import TypeAlias

import msgspec

from .frame import Frame


class Group(msgspec.Struct, frozen=True, eq=False, gc=False):
    """Frames that clients apply as one, in order.

    `stream_id` names the source change; snapshots and diffs of the bridge's own have none.
    `at` is the change's time in seconds since the epoch, 0 when unknown.

    `gc=False`: a group holds no reference cycle, and logs hold many groups.
    """

    frames: tuple[Frame, ...]
    stream_id: str = ""
    at: float = 0.0


Change: TypeAlias = Frame | Group
"""What clients apply as one. Mostly that is one frame, which needs no group around it."""
