"""Batch: the deltas of one upstream message, and the groups that they come in."""

from collections.abc import Iterator

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


def groups(deltas: tuple[Frame, ...]) -> Iterator[tuple[Frame, ...]]:
    """Split deltas of one batch into runs of equal stream_id: one source change each."""
    begin, count = 0, len(deltas)
    while begin < count:
        stream_id = deltas[begin].stream_id
        end = begin + 1
        while end < count and deltas[end].stream_id == stream_id:
            end += 1
        yield deltas[begin:end]
        begin = end
