"""Fixtures of the interop run: example tiers, proxies, the bridge as a program, the matrix."""

import asyncio
import os
import shutil
import time

import pytest

from example_tiers import ROOT, Files, build, build_all
from house_fixtures import authority, http, run  # noqa: F401 - fixtures
from matrix import ROWS, Matrix, report_path
from proxies import Proxy, find
from viewers import SseViewer, WsViewer

_MATRIX = pytest.StashKey[Matrix]()
_DEADLINE = pytest.StashKey[float]()
_RESULTS = ROOT / ".cache" / "interop"


def pytest_configure(config):
    config.stash[_MATRIX] = Matrix()
    seconds = float(os.environ.get("INTEROP_SECONDS", "inf"))
    config.stash[_DEADLINE] = time.monotonic() + seconds
    if not hasattr(config, "workerinput"):
        shutil.rmtree(_RESULTS, ignore_errors=True)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session):
    """Before the processes of a whole run are started: build, which may take minutes."""
    whole = "INTEROP_SECONDS" in os.environ or report_path() is not None
    if whole and not hasattr(session.config, "workerinput"):
        print("building the example tiers …", flush=True)
        build_all(ROWS)


def pytest_sessionfinish(session):
    """Add what this process found to the files; the process that started the others reads them."""
    config = session.config
    matrix = config.stash[_MATRIX]
    name = getattr(config, "workerinput", {}).get("workerid", "main")
    matrix.save(_RESULTS / f"{name}.json")
    if name == "main" and (path := report_path()) is not None:
        matrix = Matrix()
        for file in sorted(_RESULTS.glob("*.json")):
            matrix.load(file)
        if matrix.cells:
            matrix.write(path)


def pytest_terminal_summary(terminalreporter):
    for line in Matrix.missing_in(_RESULTS):
        terminalreporter.write_line(f"NOT TRIED: {line}", yellow=True, bold=True)


@pytest.fixture
def matrix(request):
    return request.config.stash[_MATRIX]


@pytest.fixture(autouse=True)
def within_the_time(request, matrix):
    """A run that is time-boxed (INTEROP_SECONDS) begins nothing after its time."""
    if request.node.get_closest_marker("interop") is None:
        return
    if time.monotonic() > request.config.stash[_DEADLINE]:
        matrix.other(request.node.name).missing = f"{request.node.name}: THE TIME WAS UP"
        pytest.skip("the time was up")


@pytest.fixture
async def start_tier(authority):
    """Build and start an example; skips, and says so in the matrix, where that can't be."""
    tiers = []

    async def start(example, cell, *, security="plain", arguments=""):
        if (reason := await asyncio.to_thread(build, example)) is not None:
            cell.missing = f"{example.name}: {reason}"
            pytest.skip(cell.missing)
        files = None
        if security != "plain":
            client = authority.issue("bridge", 2) if security == "mTLS" else None
            files = Files(*authority.issue("tier", 1), authority.ca, client)
        tiers.append(example.tier(example, files, arguments))
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
