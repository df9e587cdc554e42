"""Batch: the deltas of one upstream message."""

import msgspec

from .frame import Frame


class Batch(msgspec.Struct, frozen=True, gc=False):
    """Deltas of one upstream message, each encoded as clients receive it.

    `epoch` and `first_seq` are 0 if the tier does not number. `bare`, `reanchor` and `request_id`
    describe the first reset in the batch, if there is one. `bare`: no rows follow the reset.
    `reanchor`: a Reanchor caused it, None if the tier gave no reason. `request_id`: the Reanchor's.
    """

    deltas: tuple[Frame, ...] = ()
    epoch: int = 0
    first_seq: int = 0
    snapshot_complete: bool = False
    bare: bool = False
    reanchor: bool | None = None
    request_id: str = ""
