"""The README's page, as it is printed, in a real browser."""

import asyncio
from pathlib import Path

import pytest

from chromium import CHROMIUM, FLAGS
from patience import patiently
from scripted_tier import enter

README = Path(__file__).parents[2] / "README.md"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None, reason="*** NO CHROMIUM: apt-get install chromium, then run again ***"
    ),
]


def snippet(transport):
    """The script of "In a page", with one of its two ways to connect."""
    text = README.read_text().partition("## In a page")[2]
    script = text.partition("```js\n")[2].partition("```")[0]
    common, _, rest = script.partition("// Server-Sent Events.")
    sse, _, ws = rest.partition("// Or a WebSocket")
    return common + ("//" + (sse if transport == "sse" else ws))


async def shows(page, ids):
    async with patiently(20):
        while await page.evaluate("rows.map((row) => row.agg_id).join('')") != ids:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("transport", ["sse", "ws"])
async def test_the_readmes_page_shows_the_window_and_comes_back_after_a_lost_connection(
    start_bridge, tier, transport
):
    from playwright.async_api import async_playwright

    tier.rows = "ab"
    bridge = await start_bridge(linger="30s")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = await browser.new_page()
        await page.goto(bridge.url + "/healthz")
        await page.add_script_tag(content=snippet(transport))
        await shows(page, "ab")
        for connection in tuple(bridge._listeners.all[0]._fast_path.registry._connections):
            connection.abort()  # 1006 to a WebSocket
        [call] = tier.open.values()
        call.send(enter("c", 2))
        await shows(page, "abc")
        await browser.close()
