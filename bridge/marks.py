"""Marks: what files look like from outside, to tell whether they have changed."""

import asyncio
from collections.abc import Iterable
from pathlib import Path


class Marks:
    """Remembers how files looked: time, inode and size of each, None for one that is missing.

    Makes its first look at once, which blocks for as long as the file system does.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = tuple(paths)
        self._seen = self._look()

    async def changed(self) -> bool:
        """Look again; whether anything looks different from the last time."""
        before, self._seen = self._seen, await asyncio.to_thread(self._look)
        return self._seen != before

    def _look(self) -> list[tuple[int, int, int] | None]:
        return [_mark(path) for path in self._paths]


def _mark(path: str) -> tuple[int, int, int] | None:
    try:
        # stat follows links: a mounted secret is renewed by moving a link.
        stat = Path(path).stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ino, stat.st_size
