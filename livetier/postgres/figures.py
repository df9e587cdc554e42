"""What can be measured of a store."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of one moment. ``readings`` by cause, ``shortcuts`` by reason."""

    windows: int
    due: int
    kept: int
    streaming: bool
    lag_bytes: int
    lag_seconds: float
    losses: int
    pool_used: int
    pool_size: int
    transactions: int
    readings: Mapping[str, int]
    shortcuts: Mapping[str, int]
    reading_seconds: float
