"""Garbage: how the collector of cycles is set once the bridge serves.

Reference counts free what a connection held when it is over; the collector is for the cycles that
remain. Out of the box it looks every 700 objects, and through all there are ever more often: with
thousands of clients that was a quarter of what accepting one costs.
"""

import gc

GENERATION0_THRESHOLD = 2_000
"""Objects made and not freed until it looks among them. More saves nothing, and keeps for longer
what is only found by looking: a few dozen objects may hold a window of megabytes."""


def tune_gc() -> None:
    """Leave what start made alone for good, and look at the rest less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GENERATION0_THRESHOLD, 10, 10)
