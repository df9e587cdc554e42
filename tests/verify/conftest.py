import contextlib

import pytest

from house_fixtures import no_leaked_tasks  # noqa: F401 - fixtures


@pytest.fixture
async def start():
    """Start tiers; each is stopped when the test is over."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(tier, **more):
            await tier.start(**more)
            stack.push_async_callback(tier.stop)
            return tier

        yield start
