"""Process: a child that never outlives the harness, spoken to by lines.

Laws: every wait has a deadline; a child is ended by its own id, and waited for; should the harness
be killed, the kernel ends the child.
"""

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import msgspec

from .paths import OUT, ROOT
from .usage import Usage, tree

SERVER_CORE, LOAD_CORE = 0, 1


class ProcessError(RuntimeError):
    """A child ended, or did not answer in time."""


def _prefix(core: int | None) -> list[str]:
    """Pin to a core and tie the child's life to ours, with what util-linux has."""
    prefix = []
    if setpriv := shutil.which("setpriv"):
        prefix += [setpriv, "--pdeathsig", "TERM", "--"]
    taskset = shutil.which("taskset")
    if taskset and core is not None and core in os.sched_getaffinity(0):
        prefix += [taskset, "-c", str(core)]
    return prefix


class Process:
    """One child. Its stderr goes to a file under bench/out/logs."""

    def __init__(
        self,
        *command: str | Path,
        core: int | None,
        name: str,
        environ: Mapping[str, str] | None = None,
        folder: Path = ROOT,
    ) -> None:
        self.name = name
        logs = OUT / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        self.log = logs / f"{name}.log"
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(  # noqa: S603 - the harness's own command lines
                [*_prefix(core), *map(str, command)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=folder,
                env=environ,
                start_new_session=True,  # a Ctrl-C is for the harness, which ends its children
            )
        self._stdin: IO[bytes] = _pipe(self._child.stdin)
        self._stdout: IO[bytes] = _pipe(self._child.stdout)
        os.set_blocking(self._stdout.fileno(), False)
        self._unread = b""

    @property
    def pid(self) -> int:
        """The child's id (util-linux replaces itself, so it is the program's)."""
        return self._child.pid

    @property
    def usage(self) -> Usage:
        """What the child and its children have used so far."""
        return Usage(tree(self.pid))

    def line(self, within: float) -> str:
        """Wait for a line of its output. Raises ProcessError."""
        until = time.monotonic() + within
        with selectors.DefaultSelector() as selector:
            selector.register(self._stdout, selectors.EVENT_READ)
            while b"\n" not in self._unread:
                if not selector.select(max(until - time.monotonic(), 0)):
                    raise ProcessError(
                        f"{self.name} said nothing for {within:.0f} s: {self.tail()}"
                    )
                data = self._stdout.read()
                if data == b"":
                    raise ProcessError(f"{self.name} has ended: {self.tail()}")
                self._unread += data or b""
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode()

    def port(self, within: float = 10) -> int:
        """Wait for `listening on …PORT`."""
        return int(self.line(within).replace(":", " ").split()[-1])

    def ask(self, command: str, within: float = 10) -> dict[str, Any]:
        """Say a line and wait for the answer, a line of JSON."""
        try:
            self._stdin.write(command.encode() + b"\n")
            self._stdin.flush()
        except OSError:
            raise ProcessError(f"{self.name} has ended: {self.tail()}") from None
        answer: dict[str, Any] = msgspec.json.decode(self.line(within))
        return answer

    def tail(self) -> str:
        """Return the end of its log."""
        text = self.log.read_text(errors="replace")[-400:]
        return " | ".join(line.strip() for line in text.splitlines() if line.strip())

    def stop(self) -> None:
        """End it: politely, then surely. Idempotent."""
        family = tree(self.pid)
        for pipe in (self._stdin, self._stdout):
            with contextlib.suppress(OSError):
                pipe.close()
        for number, patience in ((signal.SIGTERM, 1.5), (signal.SIGKILL, 5)):
            if self._child.poll() is not None:
                break
            self._child.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(patience)
        for pid in family[1:]:
            # Workers end with their master; one that did not must not stay.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise ProcessError("a child without pipes")
    return pipe


@contextlib.contextmanager
def process(
    *command: str | Path,
    core: int | None,
    name: str,
    environ: Mapping[str, str] | None = None,
    folder: Path = ROOT,
) -> Iterator[Process]:
    """Run a child in `folder` as long as the block."""
    child = Process(*command, core=core, name=name, environ=environ, folder=folder)
    try:
        yield child
    finally:
        child.stop()


def used(processes: Sequence[Process]) -> tuple[float, float]:
    """Return what several processes have used together: CPU seconds, KiB of memory."""
    usages = [child.usage for child in processes]
    return sum(u.cpu for u in usages), sum(u.memory for u in usages)
