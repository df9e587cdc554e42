"""StallWatch: for how long this process itself looked at nothing. No tier is accused of that."""

import asyncio

STEP = 0.1


class StallWatch:
    """Watches from when it is made until `close`."""

    def __init__(self) -> None:
        self.longest = 0.0
        """Seconds, at most, since it began."""
        self._worst = 0.0
        self._task = asyncio.create_task(self._watch())

    def worst_since(self) -> float:
        """Return the same, since this was asked last."""
        worst, self._worst = self._worst, 0.0
        return worst

    async def close(self) -> None:
        """Stop watching."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _watch(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            due = clock() + STEP
            await asyncio.sleep(STEP)
            self._worst = max(self._worst, clock() - due)
            self.longest = max(self.longest, self._worst)
