"""Machine: what a run ran on, for its report."""

import os
import platform
from pathlib import Path


def describe() -> dict[str, str]:
    """Tell processor, kernel, Python and how busy the machine was with other things."""
    return {
        "processor": f"{_model()}, {os.cpu_count()} cores",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "load average": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def _model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
