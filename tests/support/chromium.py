"""A Chromium for tests: one process for all tests of a module, and for each a context of its own.

A test shares nothing with the one before but the process: cookies, storage, cache and permissions
are a context's. It runs on its module's event loop, for the browser is bound to that:
`pytestmark = on_chromium(seconds)`.
"""

import asyncio
import shutil

import pytest
import pytest_asyncio

from patience import patiently

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-quic")


def on_chromium(seconds):
    """Marks of a module whose tests take `browser`, each for so many seconds at most."""
    return [
        pytest.mark.asyncio(loop_scope="module"),
        pytest.mark.browser,
        pytest.mark.timeout(seconds),
        pytest.mark.skipif(
            CHROMIUM is None, reason="*** NO CHROMIUM: apt-get install chromium, then run again ***"
        ),
    ]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser():
    # Imported here: the module starts a Node driver, which nobody without Chromium needs.
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def context(browser):
    """A context for as many tabs as a test opens."""
    context = await browser.new_context(viewport={"width": 1280, "height": 900})
    yield context
    await context.close()


@pytest_asyncio.fixture(loop_scope="module")
async def page(context):
    """A page that has no complaint at the end of the test."""
    page = await context.new_page()
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    page.set_default_timeout(90_000)  # a loaded machine draws slowly
    yield page
    assert not complaints


async def agrees(page, expression, within=60):
    """Wait for the page to agree; wait_for_function would need eval, which its policy forbids."""
    async with patiently(within):
        while not await page.evaluate(expression):
            await asyncio.sleep(0.05)
