"""Compiled: the compiled build of a checkout, made anew when its sources are newer."""

import subprocess
import sys
import sysconfig
from pathlib import Path

from .peers import BridgePeer

_SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
_BUILD = Path("tools", "compiled", "build.py")
_SOURCES = ("bridge", "livequery", "tools/compiled")
_SECONDS = 600


class NotCompiledError(RuntimeError):
    """There is no compiled build; its text says why."""


def compiled_bridge(checkout: Path) -> BridgePeer:
    """Return the compiled build of a checkout as a peer. Raises NotCompiledError."""
    folder = checkout / "build" / "compiled"
    if not (checkout / _BUILD).exists():
        raise NotCompiledError(f"{checkout.name} has no {_BUILD}")
    if not _fresh(checkout, folder):
        _build(checkout)
    bridge = BridgePeer(folder, "compiled")
    try:
        version = bridge.version
    except (OSError, subprocess.SubprocessError) as error:
        raise NotCompiledError(f"it does not start: {error}") from None
    if "(compiled)" not in version:
        raise NotCompiledError(f"it says of itself: {version}")
    return bridge


def _fresh(checkout: Path, folder: Path) -> bool:
    made = [file.stat().st_mtime for file in folder.rglob(f"*{_SUFFIX}")]
    if not made:
        return False
    files = (file for source in _SOURCES for file in (checkout / source).rglob("*.*"))
    kept = (file for file in files if file.suffix != ".pyc" and file.is_file())
    return max(file.stat().st_mtime for file in kept) < min(made)


def _build(checkout: Path) -> None:
    command = (sys.executable, str(checkout / _BUILD), "tree")
    try:
        done = subprocess.run(  # noqa: S603 - the checkout's own
            command, cwd=checkout, capture_output=True, text=True, check=False, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise NotCompiledError(str(error)) from None
    if done.returncode:
        raise NotCompiledError(" ".join((done.stdout + done.stderr).split())[-300:])
