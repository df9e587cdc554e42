"""LiveDelta: one change to a window, and the groups that changes come in."""

import enum
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import attrgetter
from typing import TypeAlias

import msgspec

from .value import Value


class Op(enum.IntEnum):
    """What a delta does; the numbers are the schema's (livequery.proto, DeltaOp)."""

    UNSPECIFIED = 0
    ENTER = 1
    LEAVE = 2
    MOVE = 3
    UPDATE = 4
    RESET = 5
    MATCH = 6
    UNMATCH = 7


NAMES = ("delta", "enter", "leave", "move", "update", "reset", "match", "unmatch")
"""Op number → what a frame prints; a number not listed prints `delta`."""

Cursor: TypeAlias = tuple[Value, ...] | None


class LiveDelta(msgspec.Struct, frozen=True, gc=False):
    """One change, as the tier said it.

    `op` is a plain number: what the schema does not list is passed through. `row` is the tier's
    JSON text, empty for none. Indexes are positions at that moment of a sequential apply, -1 is
    outside the window. `stream_id` names the source change; `at` is its time in seconds since
    the epoch, 0 when unknown.
    """

    op: int
    agg_id: str = ""
    version: int = 0
    row: bytes = b""
    old_index: int = 0
    new_index: int = 0
    cursor: Cursor = None
    stream_id: str = ""
    at: float = 0.0


RESET = LiveDelta(Op.RESET)


class Batch(msgspec.Struct, frozen=True, gc=False):
    """Deltas that one upstream message carried.

    `epoch` and `first_seq` are 0 where the tier does not number. `bare` and `reanchor` speak
    of the reset that begins the batch, if one does; `reanchor` is None where no reason is given and
    `request_id` names the Reanchor it answers.
    """

    deltas: tuple[LiveDelta, ...] = ()
    epoch: int = 0
    first_seq: int = 0
    snapshot_complete: bool = False
    bare: bool = False
    reanchor: bool | None = None
    request_id: str = ""


def groups(deltas: Iterable[LiveDelta]) -> Iterator[tuple[str, tuple[LiveDelta, ...]]]:
    """Split deltas of one batch into runs of equal stream_id: one source change each."""
    for stream_id, run in groupby(deltas, key=attrgetter("stream_id")):
        yield stream_id, tuple(run)
