"""Revocation federation: worker processes that revoke together.

Each serves a Unix socket in the private directory of the workers. One line of JSON asks: a
revocation and its time, answered by the number of streams that ended; or nothing (`null`),
answered by all revocations that stand, which a worker asks for when it starts.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from bridge.core.errors import Failed
from bridge.web.auth.revocations import Revocation

logger = logging.getLogger(__name__)

ANSWER_TIMEOUT: Final = 0.8
"""Seconds that another worker may take: all streams end within one."""
MAX_LINE: Final = 1024 * 1024


class RevocationFederation:
    """One worker's membership. `directory` is private to the user (mode 0700).

    `revoke` revokes in this process; `standing` returns what stands in it.
    """

    def __init__(
        self,
        directory: str,
        name: str,
        *,
        revoke: Callable[[Revocation, float], int],
        standing: Callable[[], list[tuple[Revocation, float]]],
    ) -> None:
        self._directory = Path(directory)
        self._path = self._directory / f"{name}.revoke"
        self._revoke = revoke
        self._standing = standing
        self._server: asyncio.Server | None = None

    async def join(self) -> None:
        """Serve the others, and take over what stands in them."""
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self._path, limit=MAX_LINE)
        for answer in await self._ask_others(None):
            for names, values, at in answer or ():
                self._take_over(Revocation(tuple(names), tuple(values)), at)

    def _take_over(self, revocation: Revocation, at: float) -> int:
        """Revoke in this process what another one was told; return how many streams ended."""
        try:
            return self._revoke(revocation, at)
        except Failed as failure:
            logger.error("a revocation is not kept by this worker: %s", failure.message)  # noqa: TRY400
            return 0

    async def revoke(self, revocation: Revocation, at: float) -> int:
        """Revoke in all workers; return how many streams ended.

        Raises Failed (QUOTA) where too many stand: then none of them has revoked it.
        """
        ended = self._revoke(revocation, at)
        return ended + sum(answer or 0 for answer in await self._ask_others([*revocation, at]))

    async def leave(self) -> None:
        """Serve the others no more. Idempotent."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _ask_others(self, question: Any) -> list[Any]:
        others = [path for path in self._directory.glob("*.revoke") if path != self._path]
        return await asyncio.gather(*(_ask(path, question) for path in others))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            try:
                question = json.loads(await reader.readline())
                answer: Any
                if question is None:
                    answer = [(*revocation, at) for revocation, at in self._standing()]
                else:
                    names, values, at = question
                    answer = self._take_over(Revocation(tuple(names), tuple(values)), at)
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
            except ValueError:
                logger.warning("another worker asked what can't be read")
            writer.close()
            await writer.wait_closed()


async def _ask(path: Path, question: Any) -> Any:
    """Ask a worker; None where there is no answer."""
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT):
            reader, writer = await asyncio.open_unix_connection(path, limit=64 * MAX_LINE)
            try:
                writer.write(json.dumps(question).encode() + b"\n")
                return json.loads(await reader.readline())
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError):
        return None
