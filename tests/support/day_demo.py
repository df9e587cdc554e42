"""A demo at a time of day at which flights come and go, however long the tests before took.

A module that imports the fixtures `days` and `demo` says how fast it runs, as DEMO_SPEED. Its tests
run on the module's event loop.
"""

import asyncio
import contextlib
import sys

import pytest_asyncio

from patience import patiently

DAY = 8  # hours, from 07:55 on; after that a test gets another demo


class DayDemo:
    """`bridge demo`, begun again in the afternoon. `speed`: minutes of its day a minute."""

    def __init__(self, speed):
        self._speed = speed
        self._process = None
        self._url = ""
        self._over_at = 0.0

    async def url(self):
        now = asyncio.get_running_loop().time()
        if now >= self._over_at:
            await self.close()
            self._url = await self._begin()
            self._over_at = now + DAY * 3600 / self._speed
        return self._url

    async def _begin(self):
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bridge", "demo"),
            *("--listen", "127.0.0.1:0", "--speed", str(self._speed)),
            stdout=asyncio.subprocess.PIPE,
        )
        async with patiently(60):
            line = (await self._process.stdout.readline()).decode()
        assert line.startswith("listening on "), line
        return line.removeprefix("listening on ").strip()

    async def close(self):
        if self._process:
            with contextlib.suppress(ProcessLookupError):  # it died before
                self._process.terminate()
            await self._process.communicate()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def days(request):
    demo = DayDemo(request.module.DEMO_SPEED)
    yield demo
    await demo.close()


@pytest_asyncio.fixture(loop_scope="module")
async def demo(days):
    """Its URL."""
    return await days.url()
