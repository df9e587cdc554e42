import contextlib
import sqlite3

import pytest
from blockbuster import blockbuster_ctx

pytest.register_assert_rewrite("store_suite", "reducer", "tier_client")

from livetier.server import TierOptions, start_tier  # noqa: E402 (tests' own modules come first)


@pytest.fixture(autouse=True)
def blocking():
    """Nothing that the tier does in the event loop's thread may block it."""
    with blockbuster_ctx(scanned_modules=["livetier"]) as guard:
        # gRPC joins its own thread when the last of its objects goes, wherever that is.
        guard.functions["threading.Lock.acquire"].deactivate()
        yield guard


@pytest.fixture
async def tiers():
    """Start tiers; each is stopped when the test is over."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(**options):
            tier = await start_tier(TierOptions(**options))
            stack.push_async_callback(tier.stop)
            return tier

        yield start


@pytest.fixture
def things(tmp_path):
    """A database of the test's own: its URL and an open connection to it."""
    path = tmp_path / "things.sqlite"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = wal")
    connection.execute("CREATE TABLE thing (id TEXT PRIMARY KEY, name TEXT, size INTEGER, kind)")
    yield f"sqlite:///{path}", connection
    connection.close()


@pytest.fixture
async def served(tiers, things):
    """A tier over the database of ``things``, and that connection."""
    url, connection = things
    return await tiers(database=url), connection
