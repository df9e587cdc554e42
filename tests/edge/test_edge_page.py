"""The page, in a real browser before the real demo: rows appear, move and leave."""

import os

import pytest

from chromium import agrees as until
from chromium import browser, context, on_chromium, page  # noqa: F401 - fixtures
from day_demo import days, demo  # noqa: F401 - fixtures

pytestmark = [*on_chromium(180), pytest.mark.early]
DEMO_SPEED = 360

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


@pytest.mark.parametrize("transport", ["sse", "ws"])
async def test_rows_appear_move_on_and_leave_without_a_blank_board(demo, page, tmp_path, transport):
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


async def test_a_browser_that_draws_no_frame_is_given_nothing_more_to_draw(demo, page):
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


async def test_the_home_page_leads_to_the_board_and_airports_can_be_chosen(demo, page):
    await page.goto(demo + "/")
    assert await page.locator("a[href='/explorer/']").count() == 1
    await page.wait_for_selector("#state[data-state=live]", timeout=90_000)
    await page.locator("label:has(input[name=airport][value=LGA])").click()
    await until(page, "document.querySelectorAll('#board tr[data-id*=LGA]').length > 5")
    assert await page.locator("#board tr[data-id*=JFK]").count() == 0
