"""RevocationsFile: revocations that all replicas read, and that outlive them.

One JSON object a line: what `POST /admin/revoke` takes, and maybe `"at"`, when it was said, in
seconds since the epoch. A line without it counts from when it was first seen; at the start, from
when the file was last written. A line that can't be read is passed over and logged by its number.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from bridge.core.errors import Failed

from .revocations import MAX_REVOCATION, Revocation, parse_revocation, revocation_of
from .token_parser import strict_json

logger = logging.getLogger(__name__)

POLL_INTERVAL: Final = 1.0


class RevocationsFile:
    """A file that is watched. `clock`: seconds since the epoch."""

    def __init__(self, path: str, clock: Callable[[], float]) -> None:
        self._path = Path(path)
        self._clock = clock
        self._fingerprint: tuple[int, ...] = ()
        self._seen: dict[str, float] = {}
        """When each line was first seen."""

    def load(self) -> dict[Revocation, float]:
        """Read it at the start. Raises OSError."""
        stat = self._path.stat()
        # A copy keeps the time of its original, but not that of its inode.
        return self._read(min(max(stat.st_mtime, stat.st_ctime), self._clock()))

    async def watch(self, apply: Callable[[Mapping[Revocation, float]], object]) -> None:
        """Call `apply` with all that the file has, whenever it has changed, until cancelled."""
        missing = False
        while True:
            await asyncio.sleep(POLL_INTERVAL)
            try:
                changed = await asyncio.to_thread(self._read_if_changed)
            except OSError as error:
                if not missing:
                    logger.warning("revocations can't be read, the old ones stay: %s", error)
                missing = True
                continue
            missing = False
            if changed is not None:
                apply(changed)

    def _read_if_changed(self) -> dict[Revocation, float] | None:
        if self._stat() == self._fingerprint:
            return None
        return self._read(self._clock())

    def _stat(self) -> tuple[int, ...]:
        stat = self._path.stat()
        return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_size

    def _read(self, now: float) -> dict[Revocation, float]:
        # Before the text: what is written in between is read again.
        self._fingerprint = self._stat()
        lines = self._path.read_text(encoding="utf-8", errors="replace").split("\n")
        seen: dict[str, float] = {}
        found: dict[Revocation, float] = {}
        for number, line in enumerate(lines, 1):
            text = line.strip()
            if not text:
                continue
            seen[text] = self._seen.get(text, now)
            try:
                revocation, at = _parse_line(text)
            except Failed as failure:
                if text not in self._seen:
                    logger.warning("%s, line %d: %s", self._path, number, failure.message)
                continue
            at = seen[text] if at is None else at
            found[revocation] = max(at, found.get(revocation, at))
        self._seen = seen
        return found


def _parse_line(text: str) -> tuple[Revocation, float | None]:
    """Return a line's revocation, and when it was said, where it says so. Raises Failed."""
    try:
        tree = strict_json(text) if len(text) <= MAX_REVOCATION else None
    except ValueError:
        tree = None
    if not isinstance(tree, dict):
        return parse_revocation(text), None  # which says what is wrong
    at = tree.pop("at", None)
    said = float(at) if isinstance(at, int | float) and not isinstance(at, bool) else None
    return revocation_of(tree), said
