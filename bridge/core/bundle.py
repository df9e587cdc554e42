"""Bundle: groups that are written together, printed once for each form that viewers use.

Core forms are docs/wire.md §3 and §4; v1 forms are §5, where a position goes with the frames. A
form's bytes are shared by every viewer that is at the same place.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from .group import Group, chunk, sse, sse_event, ws


def told(token: str, position: int) -> str:
    """Name a position for clients (v1 `pos`)."""
    return f"{token}.{position}"


class Bundle:
    """Some groups in order; `position` is that after the last one, in a log of this `token`.

    `frames` counts them; `named` is whether every group has a stream_id.
    """

    __slots__ = ("_position", "_printed", "_token", "frames", "groups", "named")

    def __init__(self, groups: Sequence[Group], token: str, position: int) -> None:
        self.groups = groups
        self.frames = 0
        self.named = True
        for group in groups:
            self.frames += len(group.frames)
            if not group.stream_id:
                self.named = False
        self._token = token
        self._position = position
        self._printed: dict[Form, bytes] = {}

    @property
    def positions(self) -> list[str]:
        """Those after each group, as clients are told them."""
        first = self._position - len(self.groups) + 1
        return [told(self._token, at) for at in range(first, self._position + 1)]

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
        first = self._position - len(self.groups) + 1
        return [Bundle([group], self._token, at) for at, group in enumerate(self.groups, first)]


Form: TypeAlias = Callable[[Bundle], bytes]


def core_sse(bundle: Bundle) -> bytes:
    """Print events, `id:` being the stream_id."""
    return sse(bundle.groups)


def core_sse_chunked(bundle: Bundle) -> bytes:
    """Print events as one chunk of an HTTP/1.1 body."""
    return chunk(bundle.printed(core_sse))


def core_ws(bundle: Bundle) -> bytes:
    """Print each frame as one text message."""
    return ws(bundle.groups)


def v1_tail(bundle: Bundle) -> bytes:
    """Print what a v1 `frames` message has after the subscription's name."""
    frames = b",".join(frame.data for group in bundle.groups for frame in group.frames)
    return b'"pos":"%b","frames":[%b]}' % (bundle.positions[-1].encode(), frames)


def v1_sse(bundle: Bundle) -> bytes:
    """Print events, the last one of a group with the position after it as its `id:`."""
    return b"".join(
        sse_event(frame, position if at == len(group.frames) - 1 else "")
        for group, position in zip(bundle.groups, bundle.positions, strict=True)
        for at, frame in enumerate(group.frames)
    )


def v1_sse_chunked(bundle: Bundle) -> bytes:
    """Print events as one chunk of an HTTP/1.1 body."""
    return chunk(bundle.printed(v1_sse))
