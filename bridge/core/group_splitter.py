"""Group splitter: the deltas of a batch, divided into source changes."""

from .frame import Frame
from .group import Change, Group


def split_groups(deltas: tuple[Frame, ...]) -> list[Change]:
    """Split the deltas of a batch into runs of equal stream_id: one source change each."""
    groups: list[Change] = []
    begin, name = 0, ""
    for end, frame in enumerate(deltas):
        stream_id = frame.stream_id
        if end and stream_id != name:
            groups.append(_group(deltas, begin, end))
            begin = end
        name = stream_id
    if deltas:
        groups.append(_group(deltas, begin, len(deltas)))
    return groups


def _group(deltas: tuple[Frame, ...], begin: int, end: int) -> Change:
    first = deltas[begin]
    if end - begin == 1:
        return first
    return Group(deltas[begin:end], first.stream_id, first.at)
