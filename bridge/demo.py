"""Demo: the embedded tier as a second process, the bridge before it, the page on top."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from bridge.config.loader import Config, resolve
from bridge.process.supervisor import ANNOUNCEMENT

from .app import serve

TIER_START = 30.0
STOP = 3.0


class DemoError(RuntimeError):
    """The demo could not be set up; the message says why."""


async def demo(listen: str, *, speed: float, on_listening: Callable[[str], None]) -> None:
    """Run tier and bridge until SIGTERM or SIGINT; neither outlives the other."""
    async with tier_process(speed) as address:
        await serve(demo_config(listen, address), on_listening=on_listening)


def demo_config(listen: str, upstream: str) -> Config:
    """Return the bridge's configuration for the demo: defaults, and the page."""
    flags = {"listen": listen, "upstream": upstream, "explorer": "on"}
    return resolve(flags, environ={})[0]


@asynccontextmanager
async def tier_process(speed: float) -> AsyncIterator[str]:
    """Run `tier` as a child; yields its address. It ends with the block, or with us."""
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
        # Ctrl-C in a terminal goes to the whole group; the order of the end is ours.
        start_new_session=True,
    )
    try:
        yield await _address(process)
    finally:
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(STOP):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None  # noqa: S101 - a pipe was asked for
    try:
        async with asyncio.timeout(TIER_START):
            line = (await process.stdout.readline()).decode()
    except TimeoutError:
        raise DemoError(f"the tier did not start within {TIER_START:.0f} s") from None
    if not line.startswith(ANNOUNCEMENT):
        raise DemoError("the tier did not start; its own words are above")
    return line.removeprefix(ANNOUNCEMENT).strip()
