"""Node, and the npm packages of the browser library's tests."""

import shutil
import subprocess
from pathlib import Path

import playwright
import pytest

from chromium import browser, context  # noqa: F401 - fixtures
from library_paths import ROOT

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
