"""Native: the load programs in C, compiled when their sources are newer."""

import shutil
import subprocess

from .paths import BIN, NATIVE

_FLAGS = ("-O2", "-Wall", "-Wextra", "-std=gnu11", "-D_GNU_SOURCE")
_PROGRAMS = {
    "tier": ("tier", "h2", "message", "frame", "plan", "net", "buf"),
    "clients": ("clients", "histogram", "net", "buf"),
    "sendloop": ("sendloop", "frame", "plan", "net", "buf"),
    "feeder": ("feeder", "frame", "plan", "net", "buf"),
}


class NoCompilerError(RuntimeError):
    """Without a C compiler there is no load, and nothing can be measured."""


def build() -> None:
    """Compile what is missing or out of date. Raises NoCompilerError, CalledProcessError."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise NoCompilerError("a C compiler is needed (Debian: apt-get install gcc libc6-dev)")
    BIN.mkdir(parents=True, exist_ok=True)
    newest = max(file.stat().st_mtime for file in NATIVE.iterdir())
    for program, parts in _PROGRAMS.items():
        binary = BIN / program
        if binary.exists() and binary.stat().st_mtime > newest:
            continue
        sources = [str(NATIVE / f"{part}.c") for part in parts]
        subprocess.run([compiler, *_FLAGS, "-o", str(binary), *sources], check=True)  # noqa: S603 - our own sources
