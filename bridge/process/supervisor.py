"""Workers: several bridge processes on one port, and the parent that looks after them.

Laws: a worker is spawned, never forked (gRPC does not survive a fork); it is told all it needs on
its standard input, which stays open as long as the parent lives: when it closes, the worker
drains and ends. The kernel spreads connections over workers (SO_REUSEPORT); the parent holds the
ports, but does not listen. A worker that ends unasked is started anew, ever later if it keeps
ending; one that can't even start, at the beginning, ends the whole.
"""

import asyncio
import logging
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from bridge.app import listener_certificate
from bridge.config.loader import Config, Setting, build
from bridge.live.backoff import Backoff
from bridge.telemetry.metrics import Metrics
from bridge.web.listener import bind

from .metrics_federation import MetricsFederation

logger = logging.getLogger(__name__)

ANNOUNCEMENT = "listening on "
STABLE_AFTER = 30.0
"""Seconds after which a worker is one that runs: its end is a new trouble."""
GRACE = 5.0
"""Seconds beyond the drain timeout before a worker is killed."""


class WorkerError(RuntimeError):
    """A worker that could not start, or had to be killed; its own words are in the log."""


class WorkerSettings(msgspec.Struct, frozen=True):
    """What a worker is told: its name, the fleet's directory, and every option as text."""

    name: str
    directory: str
    settings: dict[str, Setting]

    def config(self) -> Config:
        """Read the options. Raises ConfigError."""
        return build(self.settings)


@dataclass(slots=True, eq=False)
class WorkerSlot:
    """A worker's place; the process on it may change."""

    name: str
    process: asyncio.subprocess.Process | None = None
    serves: bool = False


class Supervisor:
    """Starts the workers, keeps them, ends them. Made in a running loop."""

    def __init__(
        self,
        config: Config,
        settings: Mapping[str, Setting],
        *,
        on_listening: Callable[[str], None],
    ) -> None:
        self._config = config
        self._settings = dict(settings)
        self._on_listening = on_listening
        self._seats = [WorkerSlot(f"w{number + 1}") for number in range(config.workers)]
        self._told = False
        self._stopping = asyncio.Event()
        self._failure: WorkerError | None = None
        self._restarts = 0
        self._metrics = Metrics(process=False)
        self._metrics.bind("workers", lambda: sum(seat.serves for seat in self._seats))
        self._metrics.bind("worker_restarts", lambda: self._restarts)

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set, then drain; set once more, it ends all at once.

        Raises:
            OSError: the address is in use.
            TlsError: the certificate files can't be used.
            WorkerError: a worker did not start, or had to be killed.

        """
        listener_certificate(self._config)  # told once, and before anything is started
        held = await self._hold_ports()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        try:
            with tempfile.TemporaryDirectory(prefix="livequery-bridge-") as directory:
                fleet = MetricsFederation(directory, "supervisor")
                await fleet.join(self._metrics.exposition)
                try:
                    await self._run_all(stop, directory)
                finally:
                    await fleet.leave()
        finally:
            loop.remove_signal_handler(signal.SIGHUP)
            for sock in held:
                sock.close()
        if self._failure is not None:
            raise self._failure

    async def _run_all(self, stop: asyncio.Event, directory: str) -> None:
        tasks = [
            asyncio.create_task(self._keep(seat, directory), name=f"worker {seat.name}")
            for seat in self._seats
        ]
        ending = asyncio.create_task(self._end_when(stop), name="end of the workers")
        try:
            await asyncio.wait(tasks)
            for task in tasks:
                task.result()
        finally:
            for task in (ending, *tasks):
                task.cancel()
            await asyncio.wait((ending, *tasks))

    # ------------------------------------------------------------ ports

    async def _hold_ports(self) -> list[socket.socket]:
        """Pick and hold the ports that workers share; what they are told names them."""
        held = []
        for key in ("listen", "admin_listen"):
            address: tuple[str, int] | None = getattr(self._config, key)
            if address is None:
                continue
            host, port = address
            # Without sharing first: another program that shares its port must not go unnoticed.
            alone = await bind(host, port)
            port = alone[0].getsockname()[1]
            for sock in alone:
                sock.close()
            held += await bind(host, port, reuse_port=True)
            name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            self._settings[key] = Setting(name, self._settings[key].source)
        most = self._config.max_connections
        if most:
            each = -(-most // self._config.workers)
            self._settings["max_connections"] = Setting(
                str(each), self._settings["max_connections"].source
            )
        return held

    # ------------------------------------------------------------ one worker

    async def _keep(self, seat: WorkerSlot, directory: str) -> None:
        """Have a process on the seat until the end."""
        loop = asyncio.get_running_loop()
        backoff = Backoff(first=0.5, factor=2.0, most=30.0)
        while not self._stopping.is_set():
            began = loop.time()
            code = await self._one(seat, directory)
            if self._stopping.is_set():
                # One that was still starting has no ear yet: a signal ends it there and then.
                if code not in (0, -signal.SIGTERM):
                    self._fail(f"worker {seat.name} ended with {code}")
                return
            if not self._told:
                self._fail(f"worker {seat.name} did not start")
                self._stop()
                return
            if loop.time() - began > STABLE_AFTER:
                backoff.reset()
            self._restarts += 1
            wait = backoff.next()
            logger.error("worker %s ended with %d; another in %.1f s", seat.name, code, wait)
            await self._pause(wait)

    async def _one(self, seat: WorkerSlot, directory: str) -> int:
        """Run one process to its end; returns its exit code."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bridge", "worker"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # Ctrl-C in a terminal goes to the whole group; the order of the end is ours.
            start_new_session=True,
        )
        seat.process = process
        if self._stopping.is_set():
            process.terminate()  # it was on its way when all were told
        try:
            await self._attend(seat, process, directory)
            return await process.wait()
        finally:
            seat.process, seat.serves = None, False
            if process.returncode is None:
                process.kill()
                await process.wait()
            if process.stdin is not None:
                process.stdin.close()

    async def _attend(
        self, seat: WorkerSlot, process: asyncio.subprocess.Process, directory: str
    ) -> None:
        """Brief a process and hear it out: the one line it says is that it serves."""
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - pipes were asked for
        brief = WorkerSettings(seat.name, directory, self._settings)
        process.stdin.write(msgspec.json.encode(brief) + b"\n")
        while line := (await process.stdout.readline()).decode():
            if line.startswith(ANNOUNCEMENT):
                seat.serves = True
                self._tell(line.removeprefix(ANNOUNCEMENT).strip())

    def _tell(self, url: str) -> None:
        if not self._told and all(seat.serves for seat in self._seats):
            self._told = True
            logger.info("%d workers serve %s", len(self._seats), url)
            self._on_listening(url)

    # ------------------------------------------------------------ the end

    async def _end_when(self, stop: asyncio.Event) -> None:
        """Ask all workers to drain; again, harder; kill what is left."""
        await stop.wait()
        stop.clear()
        self._stop()
        try:
            async with asyncio.timeout(self._config.drain_timeout + GRACE):
                await stop.wait()
            self._signal(signal.SIGTERM)
            await asyncio.sleep(GRACE)
        except TimeoutError:
            pass
        for seat in self._seats:
            if seat.process is not None:
                self._fail(f"worker {seat.name} had to be killed")
                seat.process.kill()

    def _stop(self) -> None:
        self._stopping.set()
        self._signal(signal.SIGTERM)

    def _reload(self) -> None:
        """Have those that serve read certificates again; one that starts reads them anyway."""
        for seat in self._seats:
            if seat.process is not None and seat.serves:
                seat.process.send_signal(signal.SIGHUP)

    def _signal(self, number: signal.Signals) -> None:
        for seat in self._seats:
            if seat.process is not None and seat.process.returncode is None:
                seat.process.send_signal(number)

    def _fail(self, why: str) -> None:
        if self._failure is None:
            self._failure = WorkerError(why)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            pass
