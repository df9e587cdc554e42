"""Struct batch: `Batch` of the pure build (see `batch`)."""

import msgspec

from .frame import Frame


class StructBatch(msgspec.Struct, frozen=True, eq=False, gc=False):
    """See `batch`."""

    deltas: tuple[Frame, ...] = ()
    epoch: int = 0
    first_seq: int = 0
    snapshot_complete: bool = False
    bare: bool = False
    reanchor: bool | None = None
    request_id: str = ""
