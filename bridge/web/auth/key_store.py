"""KeyStore: the present keys of one issuer, kept current.

Invariants: the last good set is used until a newer one is good, however long that takes; one read
is under way at most, and all who wait share it; a `kid` that the set does not know has it read
again at most once in UNKNOWN_KID_INTERVAL, and the first load does not count; the set changes as a
whole, so that a key gone from it verifies nothing from then on.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import Final

from .key_set import KeySet
from .key_source import KeySource
from .verification_key import BadKey

logger = logging.getLogger(__name__)

UNKNOWN_KID_INTERVAL: Final = 30.0
"""Seconds between two reads because of unknown keys: tokens of attackers must not cause more."""
RETRY: Final = (1.0, 30.0)
"""Seconds between two reads while there is no set yet: at first, and at most."""


class KeyStore:
    """Keys from a source. `first`: what was read already. `clock`: seconds, as loop.time."""

    def __init__(
        self,
        source: KeySource,
        *,
        first: KeySet | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.current = first
        self.on_changed: list[Callable[[], None]] = []
        """Called whenever another set is used from now on."""
        self.failing = False
        """Whether the last read failed."""
        self.reads: Counter[tuple[str, ...]] = Counter({("ok",): 0, ("failed",): 0})
        """Number of reads, by outcome."""
        self._source = source
        self._clock = clock
        self._reading: asyncio.Task[None] | None = None
        self._asked_at: float | None = None

    def read_for_unknown(self) -> asyncio.Future[None] | None:
        """Have the set read because a key is not in it. Return None if it may not be asked now."""
        if self._reading is not None:
            return self._reading
        if self.current is None:
            return self._read()
        now = (self._clock or asyncio.get_running_loop().time)()
        if self._asked_at is not None and now - self._asked_at < UNKNOWN_KID_INTERVAL:
            return None
        self._asked_at = now
        return self._read()

    async def keep_current(self) -> None:
        """Read again and again, until cancelled."""
        wait, most = RETRY
        if self.current is not None:
            await asyncio.sleep(self._source.interval)
        while True:
            await asyncio.shield(self._reading or self._read())
            if self.current is None:
                await asyncio.sleep(wait)
                wait = min(2 * wait, most)
            else:
                await asyncio.sleep(self._source.interval)

    async def close(self) -> None:
        """End the read that is under way."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])

    def _read(self) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(self._read_once(), name="reading keys")
        self._reading = task
        task.add_done_callback(self._on_read)
        return task

    def _on_read(self, _: asyncio.Task[None]) -> None:
        self._reading = None

    async def _read_once(self) -> None:
        """Use what the source has, if it is good. Never raises."""
        try:
            keys = await self._source.read()
        except BadKey as error:
            if not self.failing:
                logger.warning("keys of tokens can't be read, the old ones stay: %s", error)
            self._on_failed()
            return
        except Exception:
            logger.exception("keys of tokens can't be read")
            self._on_failed()
            return
        self.failing = False
        self.reads["ok",] += 1
        if self.current is None or keys.source != self.current.source:
            self.current = keys
            for changed in self.on_changed:
                changed()

    def _on_failed(self) -> None:
        self.failing = True
        self.reads["failed",] += 1
