"""A page that was away for eight hours, in a real Chromium: asleep, and closed."""

import asyncio
import json

import pytest
import pytest_asyncio

from chromium import on_chromium
from client_house import ClientHouse
from library_page import faults, same, show, shown, statuses

pytestmark = [*on_chromium(180), pytest.mark.early]

QUERY = {"entity": "orders", "sort": ["-total"], "limit": 500}
SQL = "SELECT * FROM orders ORDER BY total DESC, id LIMIT 500"
HOURS = 3_600_000
LATER = f"const now = Date.now; Date.now = () => now() + {8 * HOURS};"
KEPT = """async () => {
  const { result } = await new Promise((done) => {
    const opening = indexedDB.open("livequery");
    opening.onsuccess = () => done(opening);
  });
  const windows = result.transaction("windows").objectStore("windows").count();
  return new Promise((done) => { windows.onsuccess = () => done(windows.result); });
}"""


@pytest_asyncio.fixture(loop_scope="module")
async def house():
    house = await ClientHouse(rows=1000).start()
    yield house
    await house.stop()


def listen(page):
    """Note the frames that come on the page's sockets."""
    frames = []

    def hear(payload):
        frames.extend(json.loads(payload).get("frames", []))

    page.on("websocket", lambda socket: socket.on("framereceived", hear))
    return frames


async def exact(house, page):
    async with asyncio.timeout(60):
        while await statuses(page) != ["live"] or not same(await shown(page), [house.select(SQL)]):
            await asyncio.sleep(0.05)


async def change_twenty(house, note):
    """Change twenty rows: eight stay in place, six move, six leave and make room for others."""
    rows = house.select(SQL)
    statements = [
        *(["UPDATE orders SET note = ? WHERE id = ?", [note, row["id"]]] for row in rows[10:18]),
        *(
            ["UPDATE orders SET total = ? WHERE id = ?", [rows[300]["total"], row["id"]]]
            for row in rows[100:106]
        ),
        *(["UPDATE orders SET total = -1 WHERE id = ?", [row["id"]]] for row in rows[200:206]),
    ]
    for statement in statements:
        await house.sql(statement)


async def test_a_tab_that_slept_for_eight_hours_gets_what_changed_and_no_row_goes_that_stays(
    house, context
):
    page = await context.new_page()
    frames = listen(page)
    await page.clock.install()
    await show(page, house.url, [QUERY], transport="ws")
    await exact(house, page)
    await context.set_offline(True)
    await house.stop_bridge()
    await change_twenty(house, "slept")
    await page.clock.fast_forward(8 * HOURS)
    frames.clear()
    await house.start_bridge()
    await context.set_offline(False)
    await exact(house, page)
    assert 0 < len(frames) <= 40
    assert await faults(page) == []


@pytest.mark.parametrize("at_most", [None, pytest.param(50, marks=pytest.mark.soak)])
async def test_a_page_opened_again_after_eight_hours_is_painted_from_the_store(
    house, context, at_most
):
    page = await context.new_page()
    await show(page, house.url, [QUERY], transport="ws", persist="indexedDB")
    await exact(house, page)
    async with asyncio.timeout(30):
        while not await page.evaluate(KEPT):
            await asyncio.sleep(0.05)
    kept = await shown(page)
    await page.close()
    async with asyncio.timeout(30):
        while house.subscriptions():  # its linger is over: nobody remembers
            await asyncio.sleep(0.05)
    await change_twenty(house, "left")
    page = await context.new_page()
    await page.add_init_script(LATER)
    frames = listen(page)
    await show(page, house.url, [QUERY], transport="ws", persist="indexedDB")
    await exact(house, page)
    first = await page.evaluate("first")
    print(f"painted from the store after {first['ms']:.1f} ms, {len(frames)} frames")
    assert first["status"] == "connecting"  # the bridge had not spoken yet
    assert 0 < len(frames) <= 40
    assert await faults(page) == []
    assert await shown(page) != kept
    if at_most is not None:
        assert first["ms"] < at_most
