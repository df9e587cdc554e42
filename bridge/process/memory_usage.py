"""Memory usage: how much memory this process may use, and how much is used.

A configured limit is for the resident memory of this process. Without one, the limit is that of the
control group (v2 or v1) for which the kernel kills: the process's own group, or the ancestor that
is nearer to its limit. Inactive file cache does not count there: the kernel frees it first.
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
"""Bytes; v1 has a limit this large where there is none."""


@dataclass(frozen=True, slots=True)
class MemoryUsage:
    """Memory used, and its limit, in bytes."""

    used: int
    limit: int

    @property
    def share(self) -> float:
        """The part of the limit that is used."""
        return self.used / self.limit


@dataclass(frozen=True, slots=True)
class _FileNames:
    used: str
    limit: str
    cache: str


_V2 = _FileNames("memory.current", "memory.max", "inactive_file")
_V1 = _FileNames("memory.usage_in_bytes", "memory.limit_in_bytes", "total_inactive_file")


def read_usage(
    limit: int | None = None,
    *,
    proc: Path = Path("/proc/self"),
    mount: Path = Path("/sys/fs/cgroup"),
) -> MemoryUsage | None:
    """Return the usage; None where there is no limit.

    Args:
        limit: bytes of this process's resident memory, 0 for no limit; None takes the control
            group's limit.
        proc: directory of this process in procfs.
        mount: mount point of the control groups.

    """
    if limit is not None:
        used = resident_memory(proc) if limit else 0
        return None if not used else MemoryUsage(used, limit)
    usages = [usage for group in _groups(proc, mount) if (usage := _group_usage(*group))]
    return max(usages, key=lambda usage: usage.share, default=None)


def return_freed_memory() -> None:
    """Run the garbage collector, and return freed memory to the kernel.

    The process would keep both, and they would count as used. With thousands of clients this takes
    a tenth of a second, in which nothing else runs.
    """
    gc.collect()
    trim_memory()


def trim_memory() -> None:
    """Return freed memory to the kernel; others run meanwhile, unless they allocate much."""
    with contextlib.suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def resident_memory(proc: Path = Path("/proc/self")) -> int:
    """Return the bytes of this process that are in memory; 0 where that can't be known."""
    try:
        return int((proc / "statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return 0  # not Linux


def _groups(proc: Path, mount: Path) -> Iterator[tuple[Path, _FileNames]]:
    """Yield the directories where the control group of this process and its ancestors may be.

    In a container the group is often at the mount point itself, whatever procfs says.
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


def _group_usage(group: Path, names: _FileNames) -> MemoryUsage | None:
    try:
        text = (group / names.limit).read_text().strip()
        limit = NO_LIMIT if text == "max" else int(text)
        if not 0 < limit < NO_LIMIT:
            return None
        used = int((group / names.used).read_text())
        return MemoryUsage(max(used - _inactive_cache(group, names), 0), limit)
    except (OSError, ValueError):
        return None  # no such group, or not readable


def _inactive_cache(group: Path, names: _FileNames) -> int:
    for line in (group / "memory.stat").read_text().splitlines():
        name, _, size = line.partition(" ")
        if name == names.cache:
            return int(size)
    return 0
