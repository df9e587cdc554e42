"""Fixtures of the interop run: example tiers, proxies, the bridge as a program, the matrix."""

import pytest

from example_tiers import Tier, build
from house_fixtures import authority, http, run  # noqa: F401 - fixtures
from matrix import Matrix, report_path
from proxies import Proxy, find
from viewers import SseViewer, WsViewer

_MATRIX = pytest.StashKey[Matrix]()


def pytest_configure(config):
    config.stash[_MATRIX] = Matrix()


def pytest_sessionfinish(session):
    matrix = session.config.stash[_MATRIX]
    if (path := report_path()) is not None and matrix.cells:
        matrix.write(path)


@pytest.fixture
def matrix(request):
    return request.config.stash[_MATRIX]


@pytest.fixture
async def start_tier(authority):
    """Build and start an example; skips, and says so in the matrix, where that can't be."""
    tiers = []

    async def start(example, cell, *, tls=False, arguments=""):
        if (reason := build(example)) is not None:
            cell.missing = f"{example.name}: {reason}"
            pytest.skip(cell.missing)
        files = (*authority.issue("tier", 1), authority.ca) if tls else None
        tiers.append(Tier(example, files, arguments))
        return await tiers[-1].start()

    yield start
    for tier in tiers:
        await tier.stop(9)


@pytest.fixture
async def start_proxy(tmp_path):
    """Start a proxy in front of a tier."""
    started = []

    async def start(name, tier, cell, **more):
        if find(name) is None:
            cell.missing = f"{name} IS MISSING, and could not be installed"
            pytest.skip(cell.missing)
        started.append(Proxy(name, tier, tmp_path, **more))
        return await started[-1].start()

    yield start
    for proxy in started:
        await proxy.stop()


@pytest.fixture
async def start_bridge(run):
    """Start the program before an address; has its URL."""

    async def start(address, tier, *more):
        bridge = await run("serve", *tier.upstream(address), "--listen", "127.0.0.1:0", *more)
        bridge.url = await bridge.listening()
        bridge.base = bridge.url + "/api/v1/live"
        return bridge

    return start


@pytest.fixture
async def watch(http):
    """Open viewers: SSE and WebSocket."""
    viewers = []

    async def open_both(base, query):
        both = [await kind().open(http, base, query) for kind in (SseViewer, WsViewer)]
        viewers.extend(both)
        return both

    yield open_both
    for viewer in viewers:
        await viewer.close()
