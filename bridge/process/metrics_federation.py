"""Metrics federation: worker processes that count separately and are scraped as one.

Each process serves its exposition on a Unix socket in a private directory. A scrape of any of them
reads all and merges them. A process that does not answer in time is left out.
"""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

from bridge.telemetry.merge import merge_expositions

READ_TIMEOUT = 1.0
"""Seconds that another process may take to answer."""


class MetricsFederation:
    """One process's membership. `directory` is private to the user (mode 0700)."""

    def __init__(self, directory: str, name: str) -> None:
        self._directory = Path(directory)
        self._path = self._directory / f"{name}.sock"
        self._server: asyncio.Server | None = None
        self._exposition: Callable[[], bytes] | None = None

    async def join(self, exposition: Callable[[], bytes]) -> None:
        """Serve `exposition` to the others; replaces a socket that a crash has left behind."""
        self._exposition = exposition
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self._path)

    async def merged_exposition(self) -> bytes:
        """Return the metrics of all processes as one exposition."""
        others = [path for path in self._directory.glob("*.sock") if path != self._path]
        texts = await asyncio.gather(*map(_read_exposition, others))
        own = self._exposition().decode() if self._exposition else ""
        return merge_expositions([own, *texts])

    async def leave(self) -> None:
        """Serve the others no more. Idempotent."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _serve(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            if self._exposition is not None:
                writer.write(self._exposition())
            await writer.drain()
            writer.close()
            await writer.wait_closed()


async def _read_exposition(path: Path) -> str:
    """Return the exposition served at a socket; empty where there is no answer."""
    try:
        async with asyncio.timeout(READ_TIMEOUT):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                return (await reader.read()).decode()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return ""
