"""The fence: which transactions a snapshot sees.

A window is rows as of a snapshot. A transaction of the change stream is in the window exactly if
the snapshot sees it. A position in the log says nothing about that: a commit is logged before
others can see it, with synchronous replication long before.
"""

from dataclasses import dataclass, field

_EPOCH = 1 << 32


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A ``pg_snapshot``, with 64-bit transaction ids.

    Every transaction below ``xmin`` has ended, none from ``xmax`` on has; of those between,
    ``running`` had not. Subtransactions count under the id of their top transaction.
    """

    xmin: int
    xmax: int
    running: frozenset[int] = field(default_factory=frozenset)

    @classmethod
    def parse(cls, text: str) -> "Snapshot":
        """Return the snapshot that PostgreSQL prints as ``xmin:xmax:xip,…``."""
        xmin, xmax, running = text.split(":")
        return cls(int(xmin), int(xmax), frozenset(int(xid) for xid in running.split(",") if xid))

    def __str__(self) -> str:
        running = ",".join(str(xid) for xid in sorted(self.running))
        return f"{self.xmin}:{self.xmax}:{running}"

    def sees(self, xid: int) -> bool:
        """Return whether the transaction with that 64-bit id had ended."""
        return xid < self.xmin or (xid < self.xmax and xid not in self.running)

    def widen(self, xid: int) -> int:
        """Return the 64-bit id of a 32-bit one, which is within 2^31 of this snapshot."""
        candidate = (self.xmax & ~(_EPOCH - 1)) | xid
        if candidate - self.xmax > _EPOCH // 2:
            return candidate - _EPOCH
        if self.xmax - candidate > _EPOCH // 2:
            return candidate + _EPOCH
        return candidate

    def widen_past(self, xid: int) -> int:
        """Return the 64-bit id of a 32-bit one that had begun, however long ago."""
        candidate = (self.xmax & ~(_EPOCH - 1)) | xid
        return candidate - _EPOCH if candidate >= self.xmax and candidate >= _EPOCH else candidate
