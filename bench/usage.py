"""Usage: CPU and memory of processes, as the kernel counts them."""

from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_OWN = ("Pss_Anon:", "Pss_Shmem:")


def tree(pid: int) -> list[int]:
    """Return a process and all that descend from it, the process first."""
    found = [pid]
    for parent in found:
        try:
            tasks = list((_PROC / str(parent) / "task").iterdir())
            for task in tasks:
                found += map(int, (task / "children").read_text().split())
        except OSError:
            continue
    return found


@dataclass(frozen=True, slots=True)
class Usage:
    """What some processes have used. A process that is gone counts as nothing."""

    pids: list[int]

    @property
    def cpu(self) -> float:
        """Seconds of CPU time, user and system, of all threads."""
        return sum(map(_cpu, self.pids))

    @property
    def memory(self) -> float:
        """KiB of memory of their own: anonymous and shared, the latter in proportion (PSS).

        Mapped files are left out: how much of a library counts depends on who else has it open.
        """
        return sum(map(_pss, self.pids))


def _cpu(pid: int) -> float:
    """Sum nanoseconds run by the threads: /proc/PID/stat would tell hundredths of a second."""
    total = 0
    try:
        for task in (_PROC / str(pid) / "task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    except OSError:
        return 0.0
    return total / 1e9


def _pss(pid: int) -> float:
    try:
        lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(float(line.split()[1]) for line in lines if line.startswith(_OWN))
