"""Garbage collector settings of a bridge or a tier that serves.

Reference counts free what a closed connection held; the garbage collector only finds cycles. By
default it runs every 700 allocations, and over all objects ever more often: with thousands of
clients that was a quarter of the cost of accepting one.
"""

import gc

GENERATION0_THRESHOLD = 2_000
"""Allocations without a deallocation between two runs. More saves no more time, and delays the end
of cycles: a few dozen objects can hold a window of megabytes."""


def tune_gc() -> None:
    """Exclude all present objects from collection, and collect less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GENERATION0_THRESHOLD, 10, 10)
