"""Batch: the deltas of one upstream message, and their division into groups."""

import msgspec

from .frame import Frame
from .group import Change, Group


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


def split_groups(deltas: tuple[Frame, ...]) -> list[Change]:
    """Split the deltas of a batch into runs of equal stream_id: one source change each."""
    groups: list[Change] = []
    begin, name = 0, None
    for end, frame in enumerate(deltas):
        if frame.stream_id == name:
            continue
        if end:
            groups.append(_group(deltas, begin, end) if end - begin > 1 else deltas[begin])
        begin, name = end, frame.stream_id
    if deltas:
        groups.append(_group(deltas, begin, len(deltas)))
    return groups


def _group(deltas: tuple[Frame, ...], begin: int, end: int) -> Change:
    first = deltas[begin]
    if end - begin == 1:
        return first
    return Group(deltas[begin:end], first.stream_id, first.at)
