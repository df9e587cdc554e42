"""Reloading: an object made from files, made again when the files change."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from .pem import TlsError

logger = logging.getLogger(__name__)

T = TypeVar("T")


class ReloadableFiles(Generic[T]):
    """Holds what `load` made from the files at `paths`; `what` names it in the log.

    The constructor loads once, and blocks as long as the file system does. It raises what `load`
    raises.
    """

    def __init__(self, paths: tuple[str, ...], load: Callable[[], T], *, what: str) -> None:
        self.reloads: Counter[tuple[str, ...]] = Counter({("ok",): 0, ("failed",): 0})
        """Number of reloads, by outcome."""
        self._paths = paths
        self._load = load
        self._what = what
        self._lock = asyncio.Lock()
        self._fingerprints = self._read_fingerprints()
        self.current = load()

    async def reload_if_changed(self) -> bool:
        """Load again if the files have changed; return whether `current` is new.

        Concurrent calls run one after the other: a change is loaded once, and one of them returns
        True. If the files can't be used, a warning is logged and `current` stays.
        """
        async with self._lock:
            before, self._fingerprints = (
                self._fingerprints,
                await asyncio.to_thread(self._read_fingerprints),
            )
            if self._fingerprints == before:
                return False
            try:
                self.current = await asyncio.to_thread(self._load)
            except TlsError as error:
                self.reloads["failed",] += 1
                logger.warning("%s can't be used, the old one stays: %s", self._what, error)
                return False
            self.reloads["ok",] += 1
            logger.info("%s read again: %s", self._what, ", ".join(self._paths))
            return True

    def _read_fingerprints(self) -> list[tuple[int, int, int] | None]:
        return [_fingerprint(path) for path in self._paths]


def _fingerprint(path: str) -> tuple[int, int, int] | None:
    """Return modification time, inode and size of a file; None if it is missing."""
    try:
        # stat follows links: a mounted secret is replaced by moving a link.
        stat = Path(path).stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ino, stat.st_size
