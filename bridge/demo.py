"""Demo: the embedded tier as a child process, a bridge in front of it, the board's page."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from bridge.config.loader import resolve
from bridge.config.options import Config
from bridge.process.announcement import parse_announcement
from bridge.process.run import run_service, stop_signal

from .app import Bridge

TIER_START_TIMEOUT = 30.0
TIER_STOP_TIMEOUT = 3.0


class DemoError(RuntimeError):
    """The demo could not start; the message says why."""


async def demo(listen: str, *, speed: float, on_listening: Callable[[str], None]) -> None:
    """Run tier and bridge until SIGTERM or SIGINT; neither outlives the other.

    Raises:
        ConfigError: `listen` is no address.
        DemoError: the tier did not start.

    """
    async with tier_process(speed) as address:
        config, stop = demo_config(listen, address), stop_signal()
        await run_service(Bridge(config), stop=stop, on_listening=on_listening)


def demo_config(listen: str, upstream: str) -> Config:
    """Return the configuration of the demo's bridge: defaults, and the page."""
    flags = {"listen": listen, "upstream": upstream, "explorer": "on", "auth": "none"}
    return resolve(flags, environ={})[0]


@asynccontextmanager
async def tier_process(speed: float) -> AsyncIterator[str]:
    """Run `tier` as a child; yields its address. It ends with the block, or with this process."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bridge",
        "tier",
        "--listen",
        "127.0.0.1:0",
        "--speed",
        str(speed),
        "--until-stdin-closes",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        # Ctrl-C in a terminal signals the whole process group: only the parent is to act on it.
        start_new_session=True,
    )
    try:
        yield await _address(process)
    finally:
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(TIER_STOP_TIMEOUT):
                await process.wait()
        except TimeoutError:
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
