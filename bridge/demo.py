"""Demo: the embedded tier as a child process, a bridge in front of it, the board's page.

Invariants: neither outlives the other. A tier that ends is replaced by another at the same address,
and the log says so; one that can't be replaced ends the demo.
"""

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import click

from bridge.config.loader import resolve
from bridge.config.options import Config
from bridge.process.announcement import parse_announcement
from bridge.process.run import run_service, stop_signal

from .app import Bridge

logger = logging.getLogger(__name__)

DAY_STARTS = "07:55"
"""When the demo's day starts: in the morning rush, so that the board changes at once."""
TIER_START_TIMEOUT = 30.0
TIER_STOP_TIMEOUT = 3.0
DATABASE_VARIABLE = "LIVEQUERY_TIER_DATABASE"
RESTART_DELAY = 1.0
"""Seconds from the end of a tier to the start of another."""


class DemoError(RuntimeError):
    """The demo can't go on; the message says why."""


async def demo(
    listen: str,
    *,
    speed: float,
    allowed_origins: str | None = None,
    database: str | None = None,
    on_listening: Callable[[str], None],
) -> None:
    """Run tier and bridge until SIGTERM or SIGINT; over the day of flights, or a ``database``.

    Raises:
        ConfigError: `listen` is no address, or `allowed_origins` no list of origins.
        DemoError: the tier did not start, or not again.

    """
    demo_config(listen, "127.0.0.1:1", allowed_origins)  # checked before anything is started
    stop = stop_signal()
    if database:
        await _tell_what_is_made(database)
    async with DemoTier.run(speed, stop, database) as tier:
        config = demo_config(listen, tier.address, allowed_origins)
        await run_service(Bridge(config, board=True), stop=stop, on_listening=on_listening)
        if tier.failure is not None:
            raise tier.failure


async def _tell_what_is_made(database: str) -> None:
    """Say, before anything is made, what the tier will put into a database."""
    if database.startswith("sqlite:"):
        made = "triggers, log tables and write-ahead mode"
    else:
        from livetier.postgres.advice import what_is_made  # noqa: PLC0415 - others do without it
        from livetier.postgres.database_error import DatabaseError  # noqa: PLC0415

        try:
            made = await what_is_made(database)
        except DatabaseError as error:
            raise DemoError(str(error)) from None
    click.echo(f"the tier will make in this database: {made}", err=True)
    click.echo("`livequery-bridge tier forget --database URL` takes it away again", err=True)


def demo_config(listen: str, upstream: str, allowed_origins: str | None = None) -> Config:
    """Return the configuration of the demo's bridge: defaults, and the page."""
    flags = {"listen": listen, "upstream": upstream, "explorer": "on", "auth": "none"}
    return resolve({**flags, "allowed_origins": allowed_origins}, environ={})[0]


class DemoTier:
    """The tier of a demo: one process at a time, at one address. Made by `run`."""

    def __init__(self, speed: float, stop: asyncio.Event, database: str | None = None) -> None:
        self._speed = speed
        self._database = database
        self._stop = stop
        self._process: asyncio.subprocess.Process | None = None
        self.address = "127.0.0.1:0"
        """Where it listens."""
        self.failure: DemoError | None = None
        """Why the demo ends, where its tier can't be started again."""

    @classmethod
    @asynccontextmanager
    async def run(
        cls, speed: float, stop: asyncio.Event, database: str | None = None
    ) -> AsyncIterator["DemoTier"]:
        """Run a tier until the block ends, or this process does.

        `stop` is set when it can't be started again. Raises DemoError if it does not start.
        """
        tier = cls(speed, stop, database)
        try:
            await tier._start()
            keeping = asyncio.create_task(tier._keep(), name="keeping the demo's tier")
            try:
                yield tier
            finally:
                keeping.cancel()
                await asyncio.wait([keeping])
        finally:
            await tier._end()

    async def _start(self) -> None:
        self._process = process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bridge", "tier", "--listen", self.address),
            *("--start", DAY_STARTS, "--speed", str(self._speed), "--until-stdin-closes"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # Ctrl-C in a terminal signals the whole process group: only the parent is to act on it.
            start_new_session=True,
            # Not as an argument: a URL may have a password, and arguments are for all to see.
            env={**os.environ, DATABASE_VARIABLE: self._database or ""},
        )
        self.address = await _address(process)

    async def _keep(self) -> None:
        """Start another tier whenever one ends; end the demo if that fails."""
        while self._process is not None:
            code = await self._process.wait()
            logger.warning("the demo's tier ended with %d; another is started", code)
            await asyncio.sleep(RESTART_DELAY)
            try:
                await self._start()
            except DemoError as error:
                self.failure = error
                self._stop.set()
                return
            logger.warning("the demo's tier is back")

    async def _end(self) -> None:
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(TIER_STOP_TIMEOUT):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None  # noqa: S101 - a pipe was asked for
    try:
        async with asyncio.timeout(TIER_START_TIMEOUT):
            line = (await process.stdout.readline()).decode()
    except TimeoutError:
        raise DemoError(f"the tier did not start within {TIER_START_TIMEOUT:.0f} s") from None
    address = parse_announcement(line)
    if address is None:
        raise DemoError("the tier did not start; its own words are above")
    return address
