"""The page, in a real browser before the real demo: rows appear, move and leave."""

import asyncio
import os
import shutil
import sys

import pytest

from patience import patiently

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-quic")

pytestmark = [
    pytest.mark.apart,
    pytest.mark.browser,
    pytest.mark.timeout(180),  # a browser beside three other test processes
    pytest.mark.skipif(
        CHROMIUM is None, reason="*** NO CHROMIUM: apt-get install chromium, then run again ***"
    ),
]

# Remembers every id that was on the board, and whether the board was ever empty once filled.
WATCH = """
() => {
  const board = document.querySelector("#board");
  const ids = () => [...board.querySelectorAll("tr[data-id]")].map((row) => row.dataset.id);
  window.seen = { orders: [ids().join()], all: new Set(ids()), blank: false };
  new MutationObserver(() => {
    const now = ids();
    if (!now.length) window.seen.blank = true;
    now.forEach((id) => window.seen.all.add(id));
    window.seen.orders.push(now.join());
  }).observe(board, { childList: true });
}
"""


async def until(page, expression, within=60):
    """Wait for the page to agree; wait_for_function would need eval, which its policy forbids."""
    async with patiently(within):
        while not await page.evaluate(expression):
            await asyncio.sleep(0.05)


@pytest.fixture
async def demo():
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bridge", "demo", "--listen", "127.0.0.1:0", "--speed", "1200"),
        stdout=asyncio.subprocess.PIPE,
    )
    async with patiently(30):
        line = (await process.stdout.readline()).decode()
    yield line.removeprefix("listening on ").strip()
    process.terminate()
    await process.communicate()


@pytest.fixture
async def browser():
    # Imported here: the module starts a Node driver, which nobody without Chromium needs.
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()


@pytest.mark.parametrize("transport", ["sse", "ws"])
async def test_rows_appear_move_on_and_leave_without_a_blank_board(
    demo, browser, tmp_path, transport
):
    page = await browser.new_page(viewport={"width": 1280, "height": 900})
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    await page.goto(f"{demo}/#JFK/{transport}")
    await page.wait_for_selector("#state[data-state=live]", timeout=90_000)
    await until(page, "document.querySelectorAll('#board tr[data-id]').length === 12")
    await page.evaluate(WATCH)
    # 12 rows to begin with; at this speed more come and go every second.
    await until(page, "window.seen.all.size >= 16 && new Set(window.seen.orders).size > 3")
    assert not await page.evaluate("window.seen.blank")
    # Twelve again: between a leave and the next enter there are eleven.
    await until(page, "document.querySelectorAll('#board tr[data-id] .flaps').length === 12")
    await page.screenshot(path=tmp_path / "board.png")
    assert os.path.getsize(tmp_path / "board.png") > 20_000
    assert not complaints


async def test_a_browser_that_draws_no_frame_is_given_nothing_more_to_draw(demo, browser):
    page = await browser.new_page()
    # What is drawn is as late as can be: never.
    await page.add_init_script("window.requestAnimationFrame = () => 0")
    await page.goto(demo + "/")
    shown = "Number(document.querySelector('#total').textContent)"
    await until(page, f"{shown} > 20")
    before = await page.evaluate(shown)
    await page.evaluate(WATCH)
    await page.evaluate(
        "() => { window.moved = 0; Element.prototype.animate = () => { window.moved += 1; }; }"
    )
    await until(page, f"{shown} > {before} + 20")
    assert await page.evaluate("window.moved") == 0
    assert await page.evaluate("window.seen.all.size") >= 12


async def test_the_home_page_leads_to_the_board_and_airports_can_be_chosen(demo, browser):
    page = await browser.new_page()
    await page.goto(demo + "/")
    assert await page.locator("a[href='/explorer/']").count() == 1
    await page.wait_for_selector("#state[data-state=live]", timeout=90_000)
    await page.locator("label:has(input[name=airport][value=LGA])").click()
    await until(page, "document.querySelectorAll('#board tr[data-id*=LGA]').length > 5")
    assert await page.locator("#board tr[data-id*=JFK]").count() == 0
