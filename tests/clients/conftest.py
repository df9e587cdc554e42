"""Node, and the npm packages of the browser library's tests."""

import shutil
import subprocess
from pathlib import Path

import playwright
import pytest

from library_paths import ROOT

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-quic")
BUNDLED = Path(playwright.__file__).parent / "driver" / "node"


@pytest.fixture(scope="session")
def node():
    """Node's path: that of the PATH, or the one that Playwright brings."""
    found = shutil.which("node") or (str(BUNDLED) if BUNDLED.exists() else None)
    if found is None:
        pytest.skip("*** NO NODE: the browser library's tests did not run ***")
    return found


@pytest.fixture(scope="session")
def node_packages(node):
    """Install the packages of the lock file, once."""
    run = subprocess.run(
        [ROOT / "tools" / "node-packages"], capture_output=True, text=True, check=False
    )
    if "EUSAGE" in run.stderr:
        pytest.fail("clients/js/package-lock.json is not that of its package.json: npm install")
    if run.returncode:
        pytest.skip(f"*** NO NPM PACKAGES: tools/node-packages says: {run.stderr.strip()} ***")


@pytest.fixture
async def context():
    """A context of a real Chromium, for as many tabs as a test opens."""
    # Imported here: the module starts a Node driver, which nobody without Chromium needs.
    from playwright.async_api import async_playwright

    if CHROMIUM is None:
        pytest.skip("*** NO CHROMIUM: apt-get install chromium, then run again ***")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield await browser.new_context()
        await browser.close()
