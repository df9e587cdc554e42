"""Tasks of a session."""

import asyncio
from typing import Any


async def cancel(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait until they are over; their results and exceptions are ignored."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.gather(*tasks, return_exceptions=True)


def wake(waiter: asyncio.Future[None] | None) -> None:
    """Let go on who waits, if anybody does."""
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
