"""The browser library's own tests, by Node."""

import asyncio
import os
import re
import sys

import pytest

from library_paths import LIBRARY

TESTS = LIBRARY / "test"
PLAIN = ["reducer", "query", "view"]
"""Need Node and nothing else."""
PAGES = ["react", "vue", "svelte", "solid", "element"]
"""Run on a DOM, with the frameworks' code for browsers."""
OTHERS = sorted(
    path.name.removesuffix(".test.mjs")
    for path in TESTS.glob("*.test.mjs")
    if path.name.removesuffix(".test.mjs") not in PLAIN
)


async def run(node, name, **environ):
    conditions = ["--conditions=browser"] if name in PAGES else []
    process = await asyncio.create_subprocess_exec(
        *(node, *conditions, "--test", "--test-reporter=tap", str(TESTS / f"{name}.test.mjs")),
        stdout=asyncio.subprocess.PIPE,
        cwd=LIBRARY,
        env={**os.environ, "LIVEQUERY_PYTHON": sys.executable, **environ},
    )
    out, _ = await process.communicate()
    said = out.decode()
    assert process.returncode == 0, said
    if missing := re.search(r"# SKIP (\*\*\* .* \*\*\*)", said):
        pytest.skip(missing[1])


@pytest.mark.parametrize("name", PLAIN)
async def test_the_library_without_a_network_passes(node, name):
    await run(node, name)


@pytest.mark.early
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", OTHERS)
async def test_the_library_passes(node, node_packages, name):
    await run(node, name)


@pytest.mark.soak
async def test_a_list_of_10000_rows_is_exact_at_every_rest(node, node_packages):
    await run(node, "list", LIVEQUERY_LIST_ROWS="10000", LIVEQUERY_LIST_SECONDS="180")
