"""Bundle: groups that are written together, printed once for each form that viewers use.

Core forms are docs/wire.md §3 and §4; v1 forms are §5, where a position goes with the frames. A
form's bytes are shared by every viewer that is at the same place.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

from .frame import Frame
from .group import Change, chunk, sse, sse_event, ws


def told(token: str, position: int) -> str:
    """Name a position for clients (v1 `pos`)."""
    return f"{token}.{position}"


class Bundle:
    """Some groups in order; `position` is that after the last one, in a log of this `token`.

    `frames` counts their frames; `named` is whether the groups have a stream_id: all (True), none
    (False), or some (None).
    """

    __slots__ = ("_flat", "_position", "_printed", "_token", "frames", "groups", "named")

    def __init__(self, groups: Sequence[Change], token: str, position: int) -> None:
        self.groups = groups
        named = 0
        self._flat = flat = list[Frame]()
        for group in groups:
            if isinstance(group, Frame):
                flat.append(group)
            else:
                flat += group.frames
            if group.stream_id:
                named += 1
        self.named = named == len(groups) if named in (0, len(groups)) else None
        self.frames = len(flat)
        self._token = token
        self._position = position
        self._printed: dict[Form, bytes] = {}

    def __iter__(self) -> Iterator[Frame]:
        """Iterate over the frames of all groups, in order."""
        return iter(self._flat)

    @property
    def position(self) -> str:
        """That after the last group, as clients are told it."""
        return told(self._token, self._position)

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


class Shared(NamedTuple):
    """How several viewers are told: in one form, which may be right for some bundles only."""

    form: Form
    named: bool | None = None
    """Right where all groups have a stream_id (True), where none has (False), or anyway (None)."""

    def takes(self, bundle: Bundle) -> bool:
        """Whether a bundle is printed in this form."""
        return self.named is None or self.named is bundle.named

    def print(self, bundle: Bundle) -> bytes:
        """Print; the same object to everybody."""
        return bundle.printed(self.form)


def core_sse(bundle: Bundle) -> bytes:
    """Print events, `id:` being the stream_id."""
    return sse(bundle)


def core_sse_chunked(bundle: Bundle) -> bytes:
    """Print events as one chunk of an HTTP/1.1 body."""
    return chunk(bundle.printed(core_sse))


def core_ws(bundle: Bundle) -> bytes:
    """Print each frame as one text message."""
    return ws(bundle)


def v1_tail(bundle: Bundle) -> bytes:
    """Print what a v1 `frames` message has after the subscription's name."""
    frames = b",".join([frame.data for frame in bundle])
    return b'"pos":"%b","frames":[%b]}' % (bundle.position.encode(), frames)


def v1_sse(bundle: Bundle) -> bytes:
    """Print events, the last one of a group with the position after it as its `id:`."""
    events = []
    for group, position in zip(bundle.groups, bundle.positions, strict=True):
        *others, last = group.frames
        events += [sse_event(frame, "") for frame in others]
        events.append(sse_event(last, position))
    return b"".join(events)


def v1_sse_chunked(bundle: Bundle) -> bytes:
    """Print events as one chunk of an HTTP/1.1 body."""
    return chunk(bundle.printed(v1_sse))
