"""Struct frame: `Frame` of the pure build (see `frame`)."""

import msgspec

from .frame_text import cut_body, cut_row


class StructFrame(msgspec.Struct, frozen=True, eq=False, gc=False):
    """See `frame`."""

    op: int
    agg_id: str
    version: int
    cursor: bytes
    old_index: int
    new_index: int
    stream_id: str
    data: bytes
    at: float = 0.0

    @property
    def frames(self) -> tuple["StructFrame", ...]:
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


class StructUnreadableFrame(StructFrame, frozen=True, eq=False, gc=False):
    """See `frame`."""

    reason: str = ""
    excerpt: bytes = b""
