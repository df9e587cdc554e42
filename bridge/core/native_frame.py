"""Native frame: `Frame` of the compiled build (see `frame`), as an object of C without Python's.

Compiled code reads its members without a look-up, and makes one in a third of a Struct's time.
Interpreted, a Struct is quicker: `struct_frame`. A test holds the two to each other.
"""

import contextlib

from .frame_text import cut_body, cut_row

with contextlib.suppress(ImportError):  # it is there while this is compiled, and not looked up then
    from mypy_extensions import mypyc_attr


@mypyc_attr(acyclic=True)
class NativeFrame:
    """See `frame`."""

    def __init__(  # noqa: PLR0917 - the members of the schema's LiveDelta, in its order
        self,
        op: int,
        agg_id: str,
        version: int,
        cursor: bytes,
        old_index: int,
        new_index: int,
        stream_id: str,
        data: bytes,
        at: float = 0.0,
    ) -> None:
        self.op = op
        self.agg_id = agg_id
        self.version = version
        self.cursor = cursor
        self.old_index = old_index
        self.new_index = new_index
        self.stream_id = stream_id
        self.data = data
        self.at = at

    @property
    def frames(self) -> tuple["NativeFrame", ...]:
        """This frame alone: a single frame is a group of its own (see `group.Change`)."""
        return (self,)

    @property
    def body(self) -> bytes:
        """The members `agg_id`, `version` and `row` as encoded in `data`, with their keys."""
        return cut_body(
            self.data, self.op, self.old_index, self.new_index, self.cursor, self.stream_id
        )

    @property
    def row(self) -> bytes:
        """The row as encoded in `data`, empty for none."""
        return cut_row(self.body)


@mypyc_attr(acyclic=True)
class NativeUnreadableFrame(NativeFrame):
    """See `frame`."""

    def __init__(  # noqa: PLR0917 - as that of a frame
        self,
        op: int,
        agg_id: str,
        version: int,
        cursor: bytes,
        old_index: int,
        new_index: int,
        stream_id: str,
        data: bytes,
        at: float = 0.0,
        reason: str = "",
        excerpt: bytes = b"",
    ) -> None:
        super().__init__(op, agg_id, version, cursor, old_index, new_index, stream_id, data, at)
        self.reason = reason
        self.excerpt = excerpt
