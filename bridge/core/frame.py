"""Frame: one change to a window, as the tier sent it and as clients receive it (docs/wire.md §2).

A change is encoded once, however many viewers there are.

A `Frame` is one change: `data` is the encoded FRAME, `cursor` a part of it. `op` is a plain int:
numbers that the schema does not list are passed through. Indexes are positions at this step of a
sequential apply; -1 is outside the window. `stream_id` names the source change. `at` is the time of
the change in seconds since the epoch, 0 if unknown. `data` is empty if the change must not reach a
client. `body` and `row` are cut out of `data` on each access: most frames are only passed on.

An `UnreadableFrame` is a change that must not reach a client: its `data` is empty. `reason` says
why; `excerpt` is the beginning of its row, for debugging.

Frames are never changed. They compare by identity: the searches in a window rely on it. There are
many of them, so each build has them as it makes them quickest.
"""

from .build import IS_COMPILED

if IS_COMPILED:
    from .native_frame import NativeFrame as Frame
    from .native_frame import NativeUnreadableFrame as UnreadableFrame
else:
    from .struct_frame import StructFrame as Frame
    from .struct_frame import StructUnreadableFrame as UnreadableFrame

__all__ = ["Frame", "UnreadableFrame"]
