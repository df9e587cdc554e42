"""Memory: how much of it this process may use, and how much is used.

A limit that is given is for the resident memory of the process alone. Else it is what the kernel
kills for: the limit of the control group (v2 or v1), or of one around it that is nearer. File cache
that nobody has used lately does not count there: the kernel takes that back before it kills.
"""

import contextlib
import ctypes
import gc
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

NO_LIMIT: Final = 1 << 60
"""Bytes from which on v1 means none."""


@dataclass(frozen=True, slots=True)
class MemoryUsage:
    """In bytes."""

    used: int
    limit: int

    @property
    def share(self) -> float:
        """What part is used."""
        return self.used / self.limit


@dataclass(frozen=True, slots=True)
class _Names:
    used: str
    limit: str
    cache: str


_V2 = _Names("memory.current", "memory.max", "inactive_file")
_V1 = _Names("memory.usage_in_bytes", "memory.limit_in_bytes", "total_inactive_file")


def read_usage(
    limit: int | None = None,
    *,
    proc: Path = Path("/proc/self"),
    mount: Path = Path("/sys/fs/cgroup"),
) -> MemoryUsage | None:
    """Read the level, against `limit` or, without one, the control group's; None: no limit."""
    if limit is not None:
        used = _resident(proc) if limit else None
        return None if used is None else MemoryUsage(used, limit)
    levels = [level for group in _groups(proc, mount) if (level := _level(*group))]
    return max(levels, key=lambda level: level.share, default=None)


def return_freed_memory() -> None:
    """Free what only the collector of cycles finds, and return to the kernel what was freed.

    Both are kept else, and count as used. With thousands of clients it takes a tenth of a second,
    in which nothing else runs.
    """
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):  # another allocator's business
        ctypes.CDLL(None).malloc_trim(0)


def _resident(proc: Path) -> int | None:
    try:
        return int((proc / "statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return None  # no Linux


def _groups(proc: Path, mount: Path) -> Iterator[tuple[Path, _Names]]:
    """Find where the group of this process may be, and those around it.

    In a container it often stands at the mount itself, whatever the process is told.
    """
    try:
        lines = (proc / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            root, names = mount, _V2
        elif "memory" in controllers.split(","):
            root, names = mount / "memory", _V1
        else:
            continue
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for depth in range(len(parts), -1, -1):
            yield root.joinpath(*parts[:depth]), names


def _level(group: Path, names: _Names) -> MemoryUsage | None:
    try:
        text = (group / names.limit).read_text().strip()
        limit = NO_LIMIT if text == "max" else int(text)
        if not 0 < limit < NO_LIMIT:
            return None
        used = int((group / names.used).read_text())
        return MemoryUsage(max(used - _cache(group, names), 0), limit)
    except (OSError, ValueError):
        return None  # there is no such group, or nobody is told


def _cache(group: Path, names: _Names) -> int:
    for line in (group / "memory.stat").read_text().splitlines():
        name, _, size = line.partition(" ")
        if name == names.cache:
            return int(size)
    return 0
