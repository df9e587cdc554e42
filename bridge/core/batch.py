"""Batch: the deltas of one upstream message, and the groups that they come in."""

import msgspec

from .frame import Frame


class Batch(msgspec.Struct, frozen=True, gc=False):
    """Deltas that one upstream message carried, each printed already as clients see it.

    `epoch` and `first_seq` are 0 where the tier does not number. `bare` and `reanchor` speak
    of the reset that begins the batch, if one does; `reanchor` is None where no reason is given and
    `request_id` names the Reanchor it answers.
    """

    deltas: tuple[Frame, ...] = ()
    epoch: int = 0
    first_seq: int = 0
    snapshot_complete: bool = False
    bare: bool = False
    reanchor: bool | None = None
    request_id: str = ""


def groups(deltas: tuple[Frame, ...]) -> list[tuple[Frame, ...]]:
    """Split deltas of one batch into runs of equal stream_id: one source change each."""
    runs: list[tuple[Frame, ...]] = []
    begin, name = 0, None
    for end, frame in enumerate(deltas):
        if frame.stream_id == name:
            continue
        if end:
            # Most are runs of one, which to slice costs twice as much.
            runs.append((deltas[begin],) if end - begin == 1 else deltas[begin:end])
        begin, name = end, frame.stream_id
    if deltas:
        runs.append(deltas[begin:])
    return runs
