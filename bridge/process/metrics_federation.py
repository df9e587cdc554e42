"""Fleet: worker processes that count apart and are scraped as one.

Each member prints what it has counted to whoever connects to its socket in a directory that is
the fleet's alone; a scrape of any member asks them all. One that does not answer is left out.
"""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

from bridge.telemetry.merge import merge

ANSWER = 1.0
"""Seconds that a member may take."""


class MetricsFederation:
    """This process's part of it. `directory` is private to the user (mode 0700)."""

    def __init__(self, directory: str, name: str) -> None:
        self._directory = Path(directory)
        self._path = self._directory / f"{name}.sock"
        self._server: asyncio.Server | None = None
        self._exposition: Callable[[], bytes] | None = None

    async def join(self, exposition: Callable[[], bytes]) -> None:
        """Answer the others from now on. A socket that a crash has left behind is replaced."""
        self._exposition = exposition
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._tell, self._path)

    async def merged(self) -> bytes:
        """Print what all members have counted, this one included."""
        others = [path for path in self._directory.glob("*.sock") if path != self._path]
        texts = await asyncio.gather(*map(_ask, others))
        own = self._exposition().decode() if self._exposition else ""
        return merge([own, *texts])

    async def leave(self) -> None:
        """Answer no more. Idempotent."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _tell(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            if self._exposition is not None:
                writer.write(self._exposition())
            await writer.drain()
            writer.close()
            await writer.wait_closed()


async def _ask(path: Path) -> str:
    try:
        async with asyncio.timeout(ANSWER):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                return (await reader.read()).decode()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return ""
