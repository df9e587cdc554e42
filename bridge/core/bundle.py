"""Bundle: groups that are written together, encoded once for each encoding in use.

The encodings are in `bridge.wire.encodings`. Viewers at the same position share the bytes.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from .frame import Frame
from .group import Change


def format_position(token: str, position: int) -> str:
    """Return a log position as clients receive it (v1 `pos`)."""
    return f"{token}.{position}"


class Bundle:
    """Groups in order. `position` is the log position after the last, `token` the log's token.

    `frame_count` counts the frames of all groups. `has_stream_ids` is True if all groups have a
    stream_id, False if none has, None if some have.
    """

    __slots__ = (
        "_data",
        "_encoding",
        "_frames",
        "_more",
        "_position",
        "_token",
        "frame_count",
        "groups",
        "has_stream_ids",
    )

    def __init__(self, groups: Sequence[Change], token: str, position: int) -> None:
        self.groups = groups
        with_id = 0
        self._frames = frames = list[Frame]()
        for group in groups:
            if isinstance(group, Frame):
                frames.append(group)
            else:
                frames += group.frames
            if group.stream_id:
                with_id += 1
        self.has_stream_ids = with_id == len(groups) if with_id in (0, len(groups)) else None
        self.frame_count = len(frames)
        self._token = token
        self._position = position
        # Most bundles are sent in one encoding.
        self._encoding: Encoding | None = None
        self._data = b""
        self._more: dict[Encoding, bytes] | None = None

    def __iter__(self) -> Iterator[Frame]:
        """Iterate over the frames of all groups, in order."""
        return iter(self._frames)

    @property
    def position(self) -> str:
        """The position after the last group, as clients receive it."""
        return format_position(self._token, self._position)

    @property
    def positions(self) -> list[str]:
        """The position after each group, as clients receive it."""
        first = self._position - len(self.groups) + 1
        return [format_position(self._token, at) for at in range(first, self._position + 1)]

    def encoded(self, encoding: "Encoding") -> bytes:
        """Return the bytes in an encoding: made on first use, then always the same object."""
        if encoding is self._encoding or encoding == self._encoding:
            return self._data
        data = self._more.get(encoding) if self._more is not None else None
        if data is None:
            data = encoding(self)
            if self._encoding is None:
                self._encoding, self._data = encoding, data
            elif self._more is None:
                self._more = {encoding: data}
            else:
                self._more[encoding] = data
        return data

    def split(self) -> "list[Bundle]":
        """Return one bundle per group."""
        if len(self.groups) == 1:
            return [self]
        first = self._position - len(self.groups) + 1
        return [Bundle([group], self._token, at) for at, group in enumerate(self.groups, first)]


Encoding: TypeAlias = Callable[[Bundle], bytes]


class SharedEncoding:
    """An encoding that several viewers use, for all bundles or for some.

    `has_stream_ids`: it applies to bundles with this value; None: to all. Compared by value.
    """

    __slots__ = ("encoding", "has_stream_ids")

    def __init__(self, encoding: Encoding, has_stream_ids: bool | None = None) -> None:  # noqa: FBT001
        self.encoding = encoding
        self.has_stream_ids = has_stream_ids

    def __eq__(self, other: object) -> bool:
        """Whether both do the same for the same bundles."""
        return (
            isinstance(other, SharedEncoding)
            and self.encoding == other.encoding
            and self.has_stream_ids is other.has_stream_ids
        )

    def __hash__(self) -> int:
        """Hash the encoding."""
        return hash(self.encoding)

    def applies_to(self, bundle: Bundle) -> bool:
        """Return whether a bundle may be sent in this encoding."""
        return self.has_stream_ids is None or self.has_stream_ids is bundle.has_stream_ids

    def encode(self, bundle: Bundle) -> bytes:
        """Return the bytes of a bundle; the same object for all viewers."""
        return bundle.encoded(self.encoding)
