"""Fixtures of the faults: a scripted tier, bridges as processes and in this one, bare clients."""

import pytest
from faults_support import join  # noqa: F401 - fixture

from house_fixtures import (  # noqa: F401 - fixtures
    authority,
    http,
    no_leaked_tasks,
    run,
    serve,
    start_bridge,
)
from scripted_tier import ScriptedTier


@pytest.fixture
async def tier():
    """A scripted tier on a real port."""
    tier = await ScriptedTier().start()
    yield tier
    await tier.stop()
