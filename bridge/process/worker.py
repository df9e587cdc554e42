"""Worker: one bridge process of several, as its parent sees it.

Invariants: a worker is spawned, never forked (gRPC does not survive a fork). It reads its settings
from the first line of stdin. Stdin stays open as long as the parent lives: when it closes, the
worker drains and ends.
"""

import asyncio
import signal
import sys
from collections.abc import Callable

import msgspec

from bridge.config.loader import Setting, build
from bridge.config.options import Config

from .announcement import parse_announcement


class WorkerSettings(msgspec.Struct, frozen=True):
    """What a worker reads on stdin, as one line of JSON."""

    name: str
    directory: str
    """Where the sockets of the metrics federation are."""
    options: dict[str, Setting]
    """Every option, by key."""
    ticket_key: bytes = b""
    """Seals the tickets of all workers, unless an option names a key."""

    @classmethod
    def decode(cls, line: bytes) -> "WorkerSettings":
        """Read the line."""
        return msgspec.json.decode(line, type=cls)

    def encode(self) -> bytes:
        """Return the line."""
        return msgspec.json.encode(self) + b"\n"

    def config(self) -> Config:
        """Parse the options. Raises ConfigError."""
        return build(self.options)


class Worker:
    """One worker; its process may be replaced by another, one at a time."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.serving = False
        """Whether the present process has announced that it serves."""
        self._process: asyncio.subprocess.Process | None = None

    async def run(
        self,
        settings: WorkerSettings,
        *,
        stopping: asyncio.Event,
        on_serving: Callable[[str], None],
    ) -> int:
        """Run one process to its end; returns its exit code. Cancellation kills it.

        `on_serving` is called with the URL. A process that starts while `stopping` is set is
        terminated.
        """
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bridge", "worker"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # Ctrl-C in a terminal signals the whole process group: only the parent is to act on it.
            start_new_session=True,
        )
        self._process = process
        if stopping.is_set():
            process.terminate()  # `send_signal` came too early for it
        try:
            assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - pipes were asked for
            process.stdin.write(settings.encode())
            while line := (await process.stdout.readline()).decode():
                url = parse_announcement(line)
                if url is not None:
                    self.serving = True
                    on_serving(url)
            return await process.wait()
        finally:
            self._process, self.serving = None, False
            if process.returncode is None:
                process.kill()
                await process.wait()
            if process.stdin is not None:
                process.stdin.close()

    def send_signal(self, number: signal.Signals) -> bool:
        """Send a signal; returns False where no process runs."""
        if self._process is None or self._process.returncode is not None:
            return False
        self._process.send_signal(number)
        return True
