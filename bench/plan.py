"""Plan: what a peer is fed with, as the load programs read it (native/plan.h)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A window and how its rows change.

    `rate` is how many times a second, `burst` how many changes each time, `batch` how many of
    them in one message, `size` the bytes of a FRAME. `flood`: as fast as they are taken.
    `spread`: subscriptions change at moments of their own, not all together.
    """

    rows: int = 50
    rate: int = 20
    burst: int = 1
    batch: int = 1
    size: int = 340
    flood: bool = False
    spread: bool = False

    @property
    def frames_per_second(self) -> float:
        """How many frames each client is due; 0 for a flood, which has no such number."""
        return 0 if self.flood else self.rate * self.burst

    @property
    def text(self) -> str:
        """The plan as an entity name."""
        members = {
            "rows": self.rows,
            "rate": 0 if self.flood else self.rate,
            "burst": self.burst,
            "batch": self.batch,
            "bytes": self.size,
            "flood": int(self.flood),
            "spread": int(self.spread),
        }
        return ",".join(f"{name}={value}" for name, value in members.items())
