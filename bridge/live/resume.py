"""Resume: the state that a returning client has."""

from dataclasses import dataclass

from bridge.core.log import Log
from bridge.core.window import Rows


@dataclass(frozen=True, slots=True)
class Resume:
    """The state that a returning client has, in whichever of these forms its protocol sends."""

    pos: str = ""
    """The last position it received (v1). The bridge replays what follows."""
    stream_id: str = ""
    """The last group it received at least a part of (core). The bridge replays from that group."""
    known: Rows | None = None
    """Its window, as rows of which only id and version count. The bridge sends a diff."""
    present: frozenset[str] = frozenset()
    """Positions, of which one may be the present one: then it lacks nothing. `*` is any."""

    def find_position(self, log: Log) -> int | None:
        """Return where a log can be replayed from, None if it can't."""
        present = self.present
        if present and (log.head_position in present or "*" in present):
            return log.head
        return log.parse_position(self.pos) if self.pos else log.find_group(self.stream_id)
