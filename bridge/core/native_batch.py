"""Native batch: `Batch` of the compiled build (see `batch`), as an object of C.

A test holds it to `struct_batch`.
"""

import contextlib

from .frame import Frame

with contextlib.suppress(ImportError):  # it is there while this is compiled, and not looked up then
    from mypy_extensions import mypyc_attr


@mypyc_attr(acyclic=True)
class NativeBatch:
    """See `batch`."""

    def __init__(  # noqa: PLR0917 - the members of the schema's DeltaBatch and ResetInfo
        self,
        deltas: tuple[Frame, ...] = (),
        epoch: int = 0,
        first_seq: int = 0,
        snapshot_complete: bool = False,  # noqa: FBT001, FBT002 - as the schema has it
        bare: bool = False,  # noqa: FBT001, FBT002
        reanchor: bool | None = None,  # noqa: FBT001
        request_id: str = "",
    ) -> None:
        self.deltas = deltas
        self.epoch = epoch
        self.first_seq = first_seq
        self.snapshot_complete = snapshot_complete
        self.bare = bare
        self.reanchor = reanchor
        self.request_id = request_id
