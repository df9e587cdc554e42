"""Op: what a delta does to a window."""

import enum


class Op(enum.IntEnum):
    """An operation. The numbers are the schema's (livequery.proto, DeltaOp)."""

    UNSPECIFIED = 0
    ENTER = 1
    LEAVE = 2
    MOVE = 3
    UPDATE = 4
    RESET = 5
    MATCH = 6
    UNMATCH = 7


NAMES = ("delta", "enter", "leave", "move", "update", "reset", "match", "unmatch")
"""The `op` of a FRAME by op number; a number not listed is `delta`."""
