"""Fixtures of the operator's side: programs as people run them, a tier, an HTTP client, openssl."""

import pytest

from house_fixtures import authority, http, run, serve, start_bridge  # noqa: F401 - fixtures
from scripted_tier import ScriptedTier


@pytest.fixture
async def tier():
    """A scripted tier on a real port, with two rows for everybody."""
    tier = await ScriptedTier().start()
    tier.rows = ["a", "b"]
    yield tier
    await tier.stop()
