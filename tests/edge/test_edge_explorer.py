"""The explorer, in a real browser before the real demo."""

import asyncio
import json
from urllib.parse import quote, unquote

import pytest

from chromium import agrees as until
from chromium import browser, context, on_chromium, page  # noqa: F401 - fixtures
from day_demo import days, demo  # noqa: F401 - fixtures
from patience import patiently

pytestmark = [*on_chromium(180), pytest.mark.early]
DEMO_SPEED = 240
LIVE = "document.querySelector('.status')?.dataset.state === 'live'"
BOARD_LIVE = "document.querySelector('#state')?.dataset.state === 'live'"
ROWS = "document.querySelectorAll('.body .row:not(.leave)').length"


def link(demo, *specs):
    return f"{demo}/explorer/#{quote(json.dumps(specs))}"


def spec_in(url):
    return json.loads(unquote(url.partition("#")[2]))


FLIGHTS = {"entity": "flights", "sort": [{"column": "est_dep"}]}
ORDERED = """
  (() => {
    const rows = [...document.querySelectorAll(".body .row:not(.leave)")];
    rows.sort((a, b) => a.ariaRowIndex - b.ariaRowIndex);
    const times = rows.map((row) => row.firstElementChild.textContent);
    return times.length > 5 && times.every((time, at) => !at || times[at - 1] <= time);
  })()
"""


async def test_it_begins_with_the_tiers_first_entity_and_its_rows_stay_in_order(demo, page):
    await page.goto(demo + "/explorer/")
    await until(page, LIVE)
    await until(page, f"{ROWS} >= 20")
    await until(page, ORDERED)
    heads = await page.locator("[role=columnheader]").all_text_contents()
    assert heads[:2] == ["est_dep", "id"]
    assert spec_in(page.url) == [{"q": FLIGHTS}]
    # Frames come: the board of the demo changes all the time.
    await until(page, "Number(document.querySelector('.wire output').textContent) > 45")
    await until(page, ORDERED)
    await page.locator(".wire summary").click()
    await until(page, "document.querySelectorAll('.wire li').length > 2")


@pytest.mark.parametrize("transport", ["ws", "sse", "poll"])
async def test_the_list_scrolls_on_and_back_and_holds_three_pages(demo, page, transport):
    await page.goto(link(demo, {"q": FLIGHTS, "t": transport}))
    await until(page, LIVE)
    first = "Number(document.querySelector('.held').textContent.split(' ')[0])"
    async with patiently(30):
        while not await page.evaluate(f"{first} > 41"):
            await page.evaluate("document.querySelector('.rows').scrollBy(0, 1200)")
            await asyncio.sleep(0.1)
    assert await page.evaluate(ROWS) <= 120
    await page.evaluate("document.querySelector('.rows').scrollTop = 0")
    await until(page, f"{first} === 1")


async def test_the_builder_and_the_json_are_one_query(demo, page):
    await page.goto(link(demo, {"q": FLIGHTS}))
    await until(page, LIVE)
    await page.locator(".add-condition").click()
    await page.get_by_label("Column of condition 1").select_option("origin")
    await page.get_by_label("Operator of condition 1").select_option("eq")
    await page.get_by_label("Value of condition 1").fill("LGA")
    await page.get_by_label("Value of condition 1").press("Enter")
    where = [{"column": "origin", "op": "eq", "value": "LGA"}]
    await until(page, "document.querySelector('textarea').value.includes('LGA')")
    assert spec_in(page.url) == [{"q": {**FLIGHTS, "where": where}}]
    await until(page, f"{LIVE} && {ROWS} > 5")
    ids = "[...document.querySelectorAll('.body .row:not(.leave)')].map((r) => r.textContent)"
    assert all("-LGA-" in text for text in await page.evaluate(ids))
    await page.locator(".json summary").click()
    asked = {"entity": "flights", "sort": [{"column": "distance_mi", "desc": True}], "limit": 7}
    await page.locator("textarea").fill(json.dumps(asked))
    await page.locator("textarea").blur()
    await until(page, f"{ROWS} === 7")
    assert await page.get_by_label("Direction of sort key 1").input_value() == "desc"
    assert await page.locator("[aria-sort=descending]").text_content() == "distance_mi"
    await page.locator("textarea").fill('{"entity": "flights", "sort": [{"column": "x"}]}')
    await page.locator("textarea").blur()
    await until(page, "document.querySelector('.problem').textContent.includes('sort[0].column')")
    await page.locator("textarea").fill("{")
    await page.locator("textarea").blur()
    await until(page, "document.querySelector('.problem').textContent.includes('no query')")


async def test_several_queries_stand_side_by_side_and_the_link_has_them_all(demo, page):
    two = [{"q": FLIGHTS}, {"q": {**FLIGHTS, "limit": 3}, "t": "sse"}]
    await page.goto(link(demo, *two))
    states = "[...document.querySelectorAll('.status')].map((s) => s.dataset.state).join()"
    await until(page, f"{states} === 'live,live'")
    await page.get_by_role("button", name="Add query").click()
    await until(page, f"{states} === 'live,live,live'")
    assert spec_in(page.url) == [*two, {"q": FLIGHTS}]
    await page.locator(".remove").first.click()
    assert spec_in(page.url) == [two[1], {"q": FLIGHTS}]


async def test_the_query_is_copied_for_other_places(demo, page):
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    where = [{"column": "dest_name", "op": "eq", "value": "O'Hare"}]
    await page.goto(link(demo, {"q": {**FLIGHTS, "where": where}}))
    await until(page, LIVE)
    for name, words in {
        "curl": ["curl -N", "O'\\''Hare"],
        "javascript": ['from "livequery-client"', '"limit":50'],
        "react": ["useLive(client, query)"],
        "sql": ["SELECT * FROM flights", "dest_name = 'O''Hare'", "ORDER BY est_dep, <key>"],
    }.items():
        await page.locator("[name=copy]").select_option(name)
        await until(page, "document.querySelector('#said').textContent.startsWith('Copied')")
        text = await page.evaluate("navigator.clipboard.readText()")
        for word in words:
            assert word in text
        await page.evaluate("document.querySelector('#said').textContent = ''")


async def test_without_https_there_is_no_clipboard_and_it_is_copied_all_the_same(demo, page):
    # What a page has that does not come over https or from this machine.
    await page.add_init_script(
        "Object.defineProperty(navigator, 'clipboard', { value: undefined })"
    )
    await page.goto(link(demo, {"q": FLIGHTS}))
    await until(page, LIVE)
    await page.locator("[name=copy]").select_option("sql")
    await until(page, "document.querySelector('#said').textContent === 'Copied as SQL-ish text'")
    await page.locator(".json summary").click()
    await page.locator("textarea").press("ControlOrMeta+a")
    await page.locator("textarea").press("ControlOrMeta+v")
    pasted = await page.evaluate("document.querySelector('textarea').value")
    assert pasted == "SELECT * FROM flights\nORDER BY est_dep, <key>"
    await page.get_by_role("button", name="Copy link").click()
    await until(page, "document.querySelector('#said').textContent === 'Link copied'")
    assert await page.evaluate("document.querySelectorAll('body > textarea').length") == 0


# A list that can't be moved on; `asked` counts how often it was tried.
UNPAGED = """
async ([message, retryable]) => {
  const { Pane } = await import(new URL("pane.js", location.href).href);
  const nothing = () => {};
  const parts = { base: "/api/v1/live", entities: [], query: { entity: "" } };
  const pane = new Pane({ ...parts, onChange: nothing, onRemove: nothing, say: nothing });
  const rows = [1, 2, 3].map((n) => ({ agg_id: String(n), row: { n }, cursor: null }));
  const view = { status: "live", rows, hasMore: true, error: null, getSnapshot: () => view };
  window.asked = 0;
  view.loadMore = () => {
    // Without an end of its own, the page would stand still and this test with it.
    if (++window.asked > 100) throw new Error("asked without end");
    return Promise.reject(Object.assign(new Error(message), { retryable }));
  };
  pane.view = view;
  window.show = (change) => { Object.assign(view, change); pane.render(); };
  window.problem = () => pane.element.querySelector(".problem").textContent;
  window.show({});
  await new Promise((resolve) => setTimeout(resolve, 50));
}
"""
SAID = "[asked, problem()]"


async def test_a_list_that_cannot_be_paged_says_so_and_the_page_goes_on(demo, page):
    await page.clock.install()
    await page.goto(demo + "/explorer/")
    await page.evaluate(UNPAGED, ["the tier sends no cursors", False])
    assert await page.evaluate(SAID) == [1, "the tier sends no cursors"]
    await page.clock.fast_forward(60_000)
    assert await page.evaluate(SAID) == [1, "the tier sends no cursors"]


async def test_a_list_that_could_not_be_moved_on_is_tried_again_after_a_while(demo, page):
    await page.clock.install()
    await page.goto(demo + "/explorer/")
    await page.evaluate(UNPAGED, ["the tier is away", True])
    assert await page.evaluate(SAID) == [1, "the tier is away"]
    await page.clock.fast_forward(10_000)
    await until(page, "asked === 2")


async def test_a_list_that_was_reconnected_is_moved_on_again(demo, page):
    await page.goto(demo + "/explorer/")
    await page.evaluate(UNPAGED, ["not now", False])
    lost = {"status": "reconnecting", "error": {"message": "the connection was lost"}}
    await page.evaluate("show", lost)
    assert await page.evaluate(SAID) == [1, "the connection was lost"]
    await page.evaluate("show", {"status": "live", "error": None})
    await until(page, "asked === 2")


# Counts animations that move something; colours may flash for everyone.
MOVING = """
  window.moving = 0;
  (function look() {
    window.moving += document.getAnimations().filter(({ effect, transitionProperty }) =>
      transitionProperty === "transform" ||
      effect.getKeyframes().some(({ transform, opacity }) => transform || opacity)).length;
    requestAnimationFrame(look);
  })();
"""


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
@pytest.mark.parametrize("path", ["/", "/explorer/"])
async def test_who_asks_for_less_motion_sees_none(demo, page, path, motion):
    await page.emulate_media(reduced_motion=motion)
    await page.goto(demo + path)
    frames = "Number(document.querySelector('#total, .wire output')?.textContent)"
    await until(page, f"{frames} > 10")
    await page.evaluate(MOVING)
    before = await page.evaluate(frames)
    await until(page, f"{frames} > {before} + 15")
    if motion == "reduce":
        assert await page.evaluate("moving") == 0
    else:  # a browser that is slow to draw rests from it for a while
        await until(page, "moving > 0")


async def test_the_front_page_of_the_demo_is_the_board_and_the_two_lead_to_each_other(demo, page):
    await page.goto(demo + "/")
    await until(page, BOARD_LIVE)
    await page.get_by_role("link", name="explorer").click()
    await until(page, LIVE)
    await page.get_by_role("link", name="Departures board").click()
    await until(page, BOARD_LIVE)


PLACES = """
  [...document.querySelectorAll(".sign, h1, .controls, .display, .wire, #log")].map(
    (element) => Object.values(element.getBoundingClientRect().toJSON()).map(Math.round).join())
"""


async def test_nothing_on_the_board_shifts_when_the_clock_comes(demo, page):
    held = asyncio.Event()

    async def hold(route):
        await held.wait()
        await route.continue_()

    await page.route("**/api/v1/live**", hold)
    await page.goto(demo + "/")
    await until(page, "document.querySelector('#airport').textContent.includes('Kennedy')")
    before = await page.evaluate(PLACES)
    assert await page.evaluate("document.querySelector('#clock').hidden")
    held.set()
    await until(page, "!document.querySelector('#clock').hidden")
    assert await page.evaluate(PLACES) == before
    clock = "document.querySelector('#clock .flaps').textContent"
    assert int((await page.evaluate(clock))[:2]) >= 7
