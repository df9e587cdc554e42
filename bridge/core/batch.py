"""Batch: the deltas of one upstream message, and the groups that they come in."""

import msgspec

from .frame import Frame
from .group import Change, Group


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


def split_groups(deltas: tuple[Frame, ...]) -> list[Change]:
    """Split deltas of one batch into runs of equal stream_id: one source change each."""
    runs: list[Change] = []
    begin, name = 0, None
    for end, frame in enumerate(deltas):
        if frame.stream_id == name:
            continue
        if end:
            runs.append(_run(deltas, begin, end) if end - begin > 1 else deltas[begin])
        begin, name = end, frame.stream_id
    if deltas:
        runs.append(_run(deltas, begin, len(deltas)))
    return runs


def _run(deltas: tuple[Frame, ...], begin: int, end: int) -> Change:
    first = deltas[begin]
    if end - begin == 1:
        return first
    return Group(deltas[begin:end], first.stream_id, first.at)
