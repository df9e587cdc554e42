"""BridgeRevoking: revocations of a whole bridge: said to it or in a file, in all its processes."""

import asyncio
from collections.abc import Callable

from bridge.config.loader import ConfigError
from bridge.web.admin.revoking import Revoking
from bridge.web.auth.revocations import Revocation
from bridge.web.auth.revocations_file import RevocationsFile

from .revocation_federation import RevocationFederation
from .worker import WorkerSettings


class BridgeRevoking:
    """`worker`: there are other processes. `file`: a path, None for none.

    Raises:
        ConfigError: the file can't be read.

    """

    def __init__(
        self,
        revoking: Revoking,
        *,
        standing: Callable[[], list[tuple[Revocation, float]]],
        clock: Callable[[], float],
        worker: WorkerSettings | None,
        file: str | None,
    ) -> None:
        self._revoking = revoking
        self._clock = clock
        self._file: RevocationsFile | None = None
        self._federation: RevocationFederation | None = None
        if worker is not None:
            self._federation = RevocationFederation(
                worker.directory, worker.name, revoke=revoking.revoke, standing=standing
            )
        if file is not None:
            self._file = RevocationsFile(file, clock)
            try:
                revoking.replace_file(self._file.load())
            except OSError as error:
                raise ConfigError(f"--revocations {file}: {error.strerror}") from None

    async def revoke(self, revocation: Revocation) -> int:
        """Revoke in all processes, from now on; return how many streams ended."""
        at = self._clock()
        if self._federation is not None:
            return await self._federation.revoke(revocation, at)
        return self._revoking.revoke(revocation, at)

    async def join(self) -> None:
        """Hear of what other processes are told."""
        if self._federation is not None:
            await self._federation.join()

    async def watch_file(self) -> None:
        """Follow the file, until cancelled."""
        if self._file is None:
            await asyncio.Event().wait()
        else:
            await self._file.watch(self._revoking.replace_file)

    async def leave(self) -> None:
        """Hear of nothing any more. Idempotent."""
        if self._federation is not None:
            await self._federation.leave()
