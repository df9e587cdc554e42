"""The browser library's own tests, by Node: that of the PATH, or the one Playwright brings."""

import asyncio
import shutil
from pathlib import Path

import playwright
import pytest

TESTS = Path(__file__).parents[2] / "clients" / "js" / "test"
BUNDLED = Path(playwright.__file__).parent / "driver" / "node"
NODE = shutil.which("node") or (str(BUNDLED) if BUNDLED.exists() else None)


@pytest.mark.skipif(NODE is None, reason="*** NO NODE: the browser library's tests did not run ***")
async def test_the_browser_library_passes_its_own_tests():
    process = await asyncio.create_subprocess_exec(
        NODE, "--test", *map(str, sorted(TESTS.glob("*.mjs"))), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
