"""Supervisor: the parent of several bridge processes on one port.

Invariants: the kernel spreads connections over the workers (SO_REUSEPORT). The supervisor binds
the ports and does not listen on them. A worker that ends unasked is replaced; the delay grows if
it keeps ending. If a worker ends before all serve for the first time, everything ends.
"""

import asyncio
import logging
import secrets
import signal
import socket
import tempfile
from collections.abc import Callable, Mapping

from bridge.config.loader import Setting
from bridge.config.options import Config
from bridge.config.values import ListenAddress
from bridge.live.backoff import Backoff
from bridge.telemetry.metrics import Metrics
from bridge.web.listening_sockets import bind

from .metrics_federation import MetricsFederation
from .worker import Worker, WorkerSettings

logger = logging.getLogger(__name__)

STABLE_AFTER = 30.0
"""Seconds a worker must run for its end to reset the back-off."""
KILL_GRACE = 5.0
"""Seconds beyond the drain timeout after which a worker is killed."""


class WorkerError(RuntimeError):
    """A worker could not start, or had to be killed; the log has its own messages."""


class Supervisor:
    """Starts the workers, replaces those that end, stops them. Made in a running loop.

    `config` and `options` are the same configuration, parsed and as text. `on_listening` is called
    with the URL when all workers serve for the first time.
    """

    def __init__(
        self,
        config: Config,
        options: Mapping[str, Setting],
        *,
        on_listening: Callable[[str], None],
    ) -> None:
        self._config = config
        self._options = dict(options)
        self._on_listening = on_listening
        self._workers = [Worker(f"w{number + 1}") for number in range(config.workers)]
        self._announced = False
        self._stopping = asyncio.Event()
        self._failure: WorkerError | None = None
        self._restarts = 0
        self._ticket_key = secrets.token_bytes(32)
        self._metrics = Metrics(process=False)
        self._metrics.bind("workers", lambda: sum(worker.serving for worker in self._workers))
        self._metrics.bind("worker_restarts", lambda: self._restarts)

    async def run(self, stop: asyncio.Event) -> None:
        """Run the workers until `stop` is set, then drain them; `stop` set again ends them at once.

        Raises:
            OSError: the address is in use.
            WorkerError: a worker did not start, or had to be killed.

        """
        ports = await self._bind_ports()
        self._share_connections()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        try:
            with tempfile.TemporaryDirectory(prefix="livequery-bridge-") as directory:
                federation = MetricsFederation(directory, "supervisor")
                await federation.join(self._metrics.exposition)
                try:
                    await self._run_workers(stop, directory)
                finally:
                    await federation.leave()
        finally:
            loop.remove_signal_handler(signal.SIGHUP)
            for sock in ports:
                sock.close()
        if self._failure is not None:
            raise self._failure

    async def _run_workers(self, stop: asyncio.Event, directory: str) -> None:
        tasks = [
            asyncio.create_task(self._supervise(worker, directory), name=f"worker {worker.name}")
            for worker in self._workers
        ]
        shutdown = asyncio.create_task(self._shut_down_on(stop), name="shutdown of the workers")
        try:
            await asyncio.wait(tasks)
            for task in tasks:
                task.result()
        finally:
            for task in (shutdown, *tasks):
                task.cancel()
            await asyncio.wait((shutdown, *tasks))

    # ------------------------------------------------------------ what workers share

    async def _bind_ports(self) -> list[socket.socket]:
        """Bind the shared ports; the workers' options then name the ports picked for 0."""
        config = self._config
        admin = () if config.admin_listen is None else (config.admin_listen,)
        bound: list[socket.socket] = []
        for key, addresses in (("listen", config.listen), ("admin_listen", admin)):
            picked = []
            for address in addresses:
                sockets = await self._bind_port(address)
                picked.append(address._replace(port=sockets[0].getsockname()[1]))
                bound += sockets
            if picked:
                self._set_option(key, ",".join(map(str, picked)))
        return bound

    async def _bind_port(self, address: ListenAddress) -> list[socket.socket]:
        # Without SO_REUSEPORT first: a program that set it on this port must not go unnoticed.
        exclusive = await bind(*address)
        port = exclusive[0].getsockname()[1]
        for sock in exclusive:
            sock.close()
        return await bind(address.host, port, reuse_port=True)

    def _share_connections(self) -> None:
        """Give each worker its part of `--max-connections`, rounded up."""
        if self._config.max_connections:
            share = -(-self._config.max_connections // self._config.workers)
            self._set_option("max_connections", str(share))

    def _set_option(self, key: str, text: str) -> None:
        self._options[key] = Setting(text, self._options[key].source)

    # ------------------------------------------------------------ one worker

    async def _supervise(self, worker: Worker, directory: str) -> None:
        """Run processes of a worker, one after the other, until the end."""
        loop = asyncio.get_running_loop()
        backoff = Backoff(first=0.5, factor=2.0, most=30.0)
        settings = WorkerSettings(worker.name, directory, self._options, self._ticket_key)
        while not self._stopping.is_set():
            began = loop.time()
            code = await worker.run(
                settings, stopping=self._stopping, on_serving=self._announce_once
            )
            if self._stopping.is_set():
                # SIGTERM ends a process that has not installed its signal handlers yet.
                if code not in (0, -signal.SIGTERM):
                    self._fail(f"worker {worker.name} ended with {code}")
                return
            if not self._announced:
                self._fail(f"worker {worker.name} did not start")
                self._stop()
                return
            if loop.time() - began > STABLE_AFTER:
                backoff.reset()
            self._restarts += 1
            delay = backoff.next()
            logger.error("worker %s ended with %d; another in %.1f s", worker.name, code, delay)
            await self._sleep_unless_stopping(delay)

    def _announce_once(self, url: str) -> None:
        if not self._announced and all(worker.serving for worker in self._workers):
            self._announced = True
            logger.info("%d workers serve %s", len(self._workers), url)
            self._on_listening(url)

    def _reload(self) -> None:
        """Have serving workers reload certificates; a worker that starts reads them anyway."""
        for worker in self._workers:
            if worker.serving:
                worker.send_signal(signal.SIGHUP)

    # ------------------------------------------------------------ the end

    async def _shut_down_on(self, stop: asyncio.Event) -> None:
        """Drain the workers when `stop` is set; end them when it is set again; kill the rest."""
        await stop.wait()
        stop.clear()
        self._stop()
        try:
            async with asyncio.timeout(self._config.drain_timeout + KILL_GRACE):
                await stop.wait()
            self._signal_all(signal.SIGTERM)
            await asyncio.sleep(KILL_GRACE)
        except TimeoutError:
            pass
        for worker in self._workers:
            if worker.send_signal(signal.SIGKILL):
                self._fail(f"worker {worker.name} had to be killed")

    def _stop(self) -> None:
        self._stopping.set()
        self._signal_all(signal.SIGTERM)

    def _signal_all(self, number: signal.Signals) -> None:
        for worker in self._workers:
            worker.send_signal(number)

    def _fail(self, message: str) -> None:
        if self._failure is None:
            self._failure = WorkerError(message)

    async def _sleep_unless_stopping(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            pass
