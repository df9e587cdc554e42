"""until: the one way in which tests wait for something that they can only look at."""

import asyncio
import inspect

from patience import patiently


async def until(check, within=10.0):
    """Wait until a check is true, which may be awaitable; return what it returned."""
    async with patiently(within):
        while True:
            found = check()
            if inspect.isawaitable(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(0.01)
