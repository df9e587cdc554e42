"""Bundle: groups that are written together, printed once for each form that viewers use.

Core forms are docs/wire.md §3 and §4; v1 forms are §5, where a position goes with the frames. A
form's bytes are shared by every viewer that is at the same place.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

from .frame import Frame
from .group import Change


def format_position(token: str, position: int) -> str:
    """Name a position for clients (v1 `pos`)."""
    return f"{token}.{position}"


class Bundle:
    """Some groups in order; `position` is that after the last one, in a log of this `token`.

    `frame_count` counts the frames of all groups. `has_stream_ids` is True if all groups have a
    stream_id, False if none has, None if some have.
    """

    __slots__ = (
        "_encoded",
        "_flat",
        "_position",
        "_token",
        "frame_count",
        "groups",
        "has_stream_ids",
    )

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
        self.has_stream_ids = named == len(groups) if named in (0, len(groups)) else None
        self.frame_count = len(flat)
        self._token = token
        self._position = position
        self._encoded: dict[Encoding, bytes] = {}

    def __iter__(self) -> Iterator[Frame]:
        """Iterate over the frames of all groups, in order."""
        return iter(self._flat)

    @property
    def position(self) -> str:
        """That after the last group, as clients are told it."""
        return format_position(self._token, self._position)

    @property
    def positions(self) -> list[str]:
        """Those after each group, as clients are told them."""
        first = self._position - len(self.groups) + 1
        return [format_position(self._token, at) for at in range(first, self._position + 1)]

    def encoded(self, form: "Encoding") -> bytes:
        """Return the bundle in a form; made on first use, the same object ever after."""
        data = self._encoded.get(form)
        if data is None:
            data = self._encoded[form] = form(self)
        return data

    def split(self) -> "list[Bundle]":
        """Split into bundles of one group each."""
        if len(self.groups) == 1:
            return [self]
        first = self._position - len(self.groups) + 1
        return [Bundle([group], self._token, at) for at, group in enumerate(self.groups, first)]


Encoding: TypeAlias = Callable[[Bundle], bytes]


class SharedEncoding(NamedTuple):
    """How several viewers are told: in one form, which may be right for some bundles only."""

    encoding: Encoding
    has_stream_ids: bool | None = None
    """Right where all groups have a stream_id (True), where none has (False), or anyway (None)."""

    def applies_to(self, bundle: Bundle) -> bool:
        """Whether a bundle is printed in this form."""
        return self.has_stream_ids is None or self.has_stream_ids is bundle.has_stream_ids

    def encode(self, bundle: Bundle) -> bytes:
        """Print; the same object to everybody."""
        return bundle.encoded(self.encoding)
