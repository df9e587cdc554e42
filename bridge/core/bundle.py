"""Bundle: groups that are written together, printed once for each form that viewers use.

Core forms are docs/wire.md §3 and §4; v1 forms are §5, where a position goes with the frames. A
form's bytes are shared by every viewer that is at the same place.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from .frame import Frame
from .group import Group, chunk, sse, ws


class Bundle:
    """Some groups in order. `positions` are those after each group, as clients are told them.

    `frames` counts them; `named` is whether every group has a stream_id.
    """

    __slots__ = ("_printed", "frames", "groups", "named", "positions")

    def __init__(self, groups: Sequence[Group], positions: Sequence[str]) -> None:
        self.groups = tuple(groups)
        self.positions = tuple(positions)
        self.frames = sum(len(group.frames) for group in self.groups)
        self.named = all(group.stream_id for group in self.groups)
        self._printed: dict[Form, bytes] = {}

    def printed(self, form: "Form") -> bytes:
        """Return the bundle in a form; made on first use, the same object ever after."""
        data = self._printed.get(form)
        if data is None:
            data = self._printed[form] = form(self)
        return data

    def parts(self) -> "list[Bundle]":
        """Split into bundles of one group each."""
        if len(self.groups) == 1:
            return [self]
        return [
            Bundle([group], [position])
            for group, position in zip(self.groups, self.positions, strict=True)
        ]


Form: TypeAlias = Callable[[Bundle], bytes]


def core_sse(bundle: Bundle) -> bytes:
    """Print events, `id:` being the stream_id."""
    if len(bundle.groups) == 1:
        return bundle.groups[0].printed(sse)
    return b"".join(group.printed(sse) for group in bundle.groups)


def core_sse_chunked(bundle: Bundle) -> bytes:
    """Print events as one chunk of an HTTP/1.1 body."""
    return chunk(bundle.printed(core_sse))


def core_ws(bundle: Bundle) -> bytes:
    """Print each frame as one text message."""
    if len(bundle.groups) == 1:
        return bundle.groups[0].printed(ws)
    return b"".join(group.printed(ws) for group in bundle.groups)


def v1_tail(bundle: Bundle) -> bytes:
    """Print what a v1 `frames` message has after the subscription's name."""
    frames = b",".join(frame.data for group in bundle.groups for frame in group.frames)
    return b'"pos":"%b","frames":[%b]}' % (bundle.positions[-1].encode(), frames)


def v1_sse(bundle: Bundle) -> bytes:
    """Print events, the last one of a group with the position after it as its `id:`."""
    return b"".join(
        _v1_event(frame, position if at == len(group.frames) - 1 else "")
        for group, position in zip(bundle.groups, bundle.positions, strict=True)
        for at, frame in enumerate(group.frames)
    )


def _v1_event(frame: Frame, position: str) -> bytes:
    head = b"id: %b\n" % position.encode() if position else b""
    return b"%bevent: %b\ndata: %b\n\n" % (head, frame.name.encode(), frame.data)


def v1_sse_chunked(bundle: Bundle) -> bytes:
    """Print events as one chunk of an HTTP/1.1 body."""
    return chunk(bundle.printed(v1_sse))
