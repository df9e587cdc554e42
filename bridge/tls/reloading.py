"""Renewal: what is made of files, made anew when they change."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

logger = logging.getLogger(__name__)

T = TypeVar("T")


class TlsError(ValueError):
    """A certificate or key that can't be used; the message names the file."""


class ReloadableFiles(Generic[T]):
    """What is in use, as `load` made it of the files. Raises what `load` raises at the start.

    Looks and loads at once, which blocks for as long as the file system does.
    """

    def __init__(self, paths: tuple[str, ...], load: Callable[[], T], *, what: str) -> None:
        self.reloads: Counter[tuple[str, ...]] = Counter({("ok",): 0, ("failed",): 0})
        """How often files were read anew, by outcome."""
        self._paths = paths
        self._load = load
        self._what = what
        self._one = asyncio.Lock()
        self._seen = self._look()
        self.current = load()

    async def renew(self) -> bool:
        """Load again if the files have changed; tells whether there is something new.

        One at a time: what several ask at once is looked at, and told, once. Files that can't be
        used are logged and change nothing.
        """
        async with self._one:
            before, self._seen = self._seen, await asyncio.to_thread(self._look)
            if self._seen == before:
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

    def _look(self) -> list[tuple[int, int, int] | None]:
        return [_mark(path) for path in self._paths]


def _mark(path: str) -> tuple[int, int, int] | None:
    """Return time, inode and size of a file, None for one that is missing."""
    try:
        # stat follows links: a mounted secret is renewed by moving a link.
        stat = Path(path).stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ino, stat.st_size
