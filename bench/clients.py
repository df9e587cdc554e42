"""Clients: the browsers of a run, many of them in one small process (native/clients.c)."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from .paths import BIN, OUT
from .process import LOAD_CORE, Process, process


class Opened(msgspec.Struct, frozen=True):
    """How opening went."""

    ready: int
    failed: int
    seconds: float


class Counted(msgspec.Struct, frozen=True):
    """What clients have read since they were reset; durations in nanoseconds."""

    seconds: float
    frames: int
    snapshot_frames: int
    bytes: int
    reads: int
    lost: int
    p50: int
    p90: int
    p99: int
    p999: int
    max: int


class Clients:
    """The process that is all clients."""

    def __init__(self, child: Process) -> None:
        self._child = child

    def open(self, count: int, *, rows: int, within: float = 30) -> Opened:
        """Open connections; each is ready when it has its answer and `rows` frames."""
        answer = self._child.ask(f"open {count} {rows} {within}", within + 5)
        return msgspec.convert(answer, Opened)

    def close(self, count: int) -> None:
        """Close the last ones."""
        self._child.ask(f"close {count}")

    def stall(self, count: int) -> None:
        """Let the first ones read no more; they are not counted from now on."""
        self._child.ask(f"stall {count}")

    def reset(self) -> None:
        """Count anew."""
        self._child.ask("reset")

    def report(self) -> Counted:
        """Tell what was counted."""
        return msgspec.convert(self._child.ask("report"), Counted)


@contextmanager
def clients(port: int, request: bytes, message: bytes = b"") -> Iterator[Clients]:
    """Run clients of a port: each sends `request`, and `message` once it was answered."""
    OUT.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=OUT) as folder:
        files = [Path(folder, "request"), Path(folder, "message")]
        for file, text in zip(files, (request, message), strict=True):
            file.write_bytes(text)
        with process(BIN / "clients", str(port), *files, core=LOAD_CORE, name="clients") as child:
            yield Clients(child)
