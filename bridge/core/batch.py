"""Batch: the deltas of one upstream message, each encoded as clients receive it.

`epoch` and `first_seq` are 0 if the tier does not number. `bare`, `reanchor` and `request_id`
describe the first reset in the batch, if there is one. `bare`: no rows follow the reset.
`reanchor`: a Reanchor caused it, None if the tier gave no reason. `request_id`: the Reanchor's.

Batches are never changed. Each build has them as it makes them quickest, as it does frames.
"""

from .build import IS_COMPILED

if IS_COMPILED:
    from .native_batch import NativeBatch as Batch
else:
    from .struct_batch import StructBatch as Batch

__all__ = ["Batch"]
