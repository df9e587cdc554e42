"""The browser library in real tabs of a real Chromium, before the real bridge and tier."""

import asyncio
import contextlib
import itertools
import json
import random
import time

import jwt
import pytest
import pytest_asyncio

from chromium import on_chromium
from client_house import ClientHouse
from library_page import faults, same, show, shown, statuses
from patience import promised

pytestmark = [*on_chromium(300), pytest.mark.early]

BOARDS = [
    (
        {"entity": "orders", "where": [["status", "=", status]], "sort": ["-total"], "limit": 12},
        f"SELECT * FROM orders WHERE status = '{status}' ORDER BY total DESC, id LIMIT 12",  # noqa: S608
    )
    for status in ("open", "paid", "sent")
] + [
    (
        {"entity": "orders", "sort": ["status", "-total"], "limit": 30},
        "SELECT * FROM orders ORDER BY status, total DESC, id LIMIT 30",
    ),
    (
        {"entity": "orders", "where": [["total", ">=", 5000]], "sort": ["total"], "limit": 8},
        "SELECT * FROM orders WHERE total >= 5000 ORDER BY total, id LIMIT 8",
    ),
]
QUERIES = [query for query, _ in BOARDS]


@pytest_asyncio.fixture(loop_scope="module")
async def house():
    house = await ClientHouse(rows=200).start()
    yield house
    await house.stop()


@contextlib.asynccontextmanager
async def writing(house, every=0.05):
    """Change orders, one after the other, as long as the block lasts."""
    dice = random.Random(1)

    async def write():
        for n in itertools.count():
            some = f"o{dice.randrange(200):05}"
            if n % 7 == 0:
                await house.sql(["DELETE FROM orders WHERE id = ?", [some]])
            elif n % 7 == 1:
                statement = "INSERT OR REPLACE INTO orders VALUES (?, 'open', ?, 'new')"
                await house.sql([statement, [some, dice.randrange(10_000)]])
            else:
                statement = "UPDATE orders SET total = ?, status = ? WHERE id = ?"
                status = dice.choice(["open", "paid", "sent", "done"])
                await house.sql([statement, [dice.randrange(10_000), status, some]])
            await asyncio.sleep(every)

    task = asyncio.create_task(write())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def exact(house, page, within=60, boards=BOARDS):
    """Wait until every window on the page is what SQL selects, and live."""
    try:
        async with asyncio.timeout(within):
            while True:
                want = [house.select(sql) for _, sql in boards]
                live = set(await statuses(page)) == {"live"}
                if live and same(await shown(page), want):
                    return
                await asyncio.sleep(0.05)
    except TimeoutError:
        why = await page.evaluate("views.map(({ error }) => error?.message)")
        assert await statuses(page) == ["live"] * len(boards), why
        assert await shown(page) == [house.select(sql) for _, sql in boards]


async def freeze(page, seconds):
    session = await page.context.new_cdp_session(page)
    await session.send("Page.setWebLifecycleState", {"state": "frozen"})
    await asyncio.sleep(seconds)
    await session.send("Page.setWebLifecycleState", {"state": "active"})
    await session.detach()


SHARED = """async (token) => {
  const { LiveClient } = await import("/client/livequery.js");
  const client = new LiveClient("/api/v1/live", { share: true, token: async () => token });
  const idle = client.state;
  const ids = (view) => view.rows.map(({ agg_id }) => agg_id);
  const list = client.list({ entity: "orders", sort: ["id"] }, { page: 10 });
  for (let n = 0; n < 3; n++) await list.loadMore();
  const held = { list: ids(list), window: list.window };
  await list.loadBack();
  const live = client.live({ entity: "orders", sort: ["id"], limit: 10 });
  await live.ready;
  await live.reanchor({ cursor: live.rows[4].cursor, limit: 4 });
  const moved = ids(live);
  const refused = await live.reanchor({ cursor: { values: [1, 2, 3] } }).catch((error) => error.status);
  while (live.status !== "live") await new Promise((done) => setTimeout(done, 10));
  const bad = client.live({ entity: "nope", limit: 1 });
  const failed = await bad.ready.catch(({ code, status, field }) => [code, status, field]);
  return { idle, ...held, back: ids(list), moved, refused: [refused, live.status, ids(live)], failed, state: client.state };
}"""

KEY = "a key of thirty-two bytes, or more"

HIDE = """(state) => {
  Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


@pytest.mark.parametrize("transport", ["ws", "sse", "poll"])
async def test_two_tabs_of_five_queries_end_exact_whatever_happens(house, context, transport):
    pages = [await context.new_page(), await context.new_page()]
    for page in pages:
        await show(page, house.url, QUERIES, transport=transport)
    for page in pages:
        await exact(house, page)

    async def rest():
        for page in pages:
            await exact(house, page, within=90)
            assert await faults(page) == []

    async with writing(house):
        await asyncio.sleep(1)
        await house.restart_bridge()
        await asyncio.sleep(2)
    await rest()

    async with writing(house):
        await house.stop_tier()
        await asyncio.sleep(2)
        await house.start_tier()
    await rest()

    async with writing(house):
        await context.set_offline(True)
        await asyncio.sleep(10)  # it fails to come back more than once
        await context.set_offline(False)
    await rest()

    async with writing(house):
        await freeze(pages[0], 2)
        await pages[1].evaluate(
            "() => { const now = Date.now; Date.now = () => now() + 3_600_000; }"
        )
        await asyncio.sleep(1)
    await rest()


async def test_a_tab_hidden_for_five_minutes_lets_go_and_comes_back_by_a_diff(house, context):
    page = await context.new_page()
    await page.clock.install()
    await show(page, house.url, QUERIES, transport="ws")
    await exact(house, page)
    await page.evaluate(HIDE, "hidden")
    await page.clock.fast_forward(299_000)
    assert await page.evaluate("client.state") == "open"
    await page.clock.fast_forward(2_000)
    assert await page.evaluate("client.state") == "idle"
    assert set(await statuses(page)) == {"stale"}
    await house.sql("UPDATE orders SET total = 9999 WHERE id = 'o00000'")
    await page.evaluate(HIDE, "visible")
    await exact(house, page)
    assert await faults(page) == []


async def test_what_was_kept_in_indexed_db_is_shown_by_the_next_visit_before_the_bridge_speaks(
    house, context
):
    page = await context.new_page()
    await show(page, house.url, QUERIES, persist="indexedDB")
    await exact(house, page)
    kept = await shown(page)
    await page.wait_for_timeout(1600)
    await house.stop_bridge()
    other = await context.new_page()
    # The page's own server is away, too: what it has to load is served from here.
    root = house.bridge_files()
    await other.route("**/*", lambda route: route.fulfill(**root(route.request.url)))
    await show(other, house.url, QUERIES, persist="indexedDB")
    async with asyncio.timeout(20):
        while await shown(other) != kept:
            await asyncio.sleep(0.02)
    assert "live" not in await statuses(other)
    await other.unroute("**/*")
    await house.start_bridge()
    await house.sql("UPDATE orders SET total = 9999 WHERE id = 'o00000'")
    await exact(house, other)
    assert await faults(other) == []


@promised
@pytest.mark.parametrize("worker", [True, False], ids=["SharedWorker", "Web Locks"])
async def test_twenty_tabs_share_one_connection_and_the_death_of_its_leader_is_healed_in_a_second(
    house, context, worker, at_most
):
    if not worker:
        await context.add_init_script("delete globalThis.SharedWorker")
    boards = BOARDS[:3]
    queries = [query for query, _ in boards]
    pages = [await context.new_page() for _ in range(20)]
    for page in pages:
        await show(page, house.url, queries, share=True)
    for page in pages:
        await exact(house, page, boards=boards)
    assert house.streams() == 1
    assert house.subscriptions() == 3

    loop = asyncio.get_running_loop()
    if worker:
        session = await context.browser.new_browser_cdp_session()
        targets = (await session.send("Target.getTargets"))["targetInfos"]
        [target] = [one for one in targets if one["type"] == "shared_worker"]
        await session.send("Target.closeTarget", {"targetId": target["targetId"]})
    else:
        await pages.pop(0).close()
    began = loop.time()
    await house.sql("UPDATE orders SET total = 9999, status = 'open' WHERE id = 'o00000'")
    await exact(house, pages[-1], within=30, boards=boards)
    healed = loop.time() - began
    assert healed <= at_most(1), healed
    for page in pages:
        await exact(house, page, boards=boards)
        assert await faults(page) == []
    assert house.streams() == 1
    print(f"healed in {healed:.2f} s")
    for page in pages[1:]:
        await page.close()
    async with asyncio.timeout(20):
        while house.subscriptions() != 3:
            await asyncio.sleep(0.05)
    await house.sql("UPDATE orders SET total = 9998 WHERE id = 'o00004'")
    await exact(house, pages[0], boards=boards)


async def test_tabs_that_share_have_tokens_lists_reanchors_and_refusals(context):
    secret = jwt.utils.base64url_encode(KEY.encode()).decode()
    options = {
        "auth": "jwt",
        "jwt_keys": json.dumps({"keys": [{"kty": "oct", "alg": "HS256", "k": secret}]}),
        "jwt_issuer": "house",
        "jwt_audience": "live",
    }
    claims = {"iss": "house", "aud": "live", "sub": "anna", "exp": int(time.time()) + 600}
    house = await ClientHouse(rows=200, options=options).start()
    try:
        pages = [await context.new_page() for _ in range(2)]
        for page in pages:
            await page.goto(house.url + "/healthz")
            answer = await page.evaluate(SHARED, jwt.encode(claims, KEY, "HS256"))
            want = [row["id"] for row in house.select("SELECT id FROM orders ORDER BY id")]
            assert answer == {
                "idle": "idle",
                "list": want[10:40],
                "window": {"first": 10, "last": 39, "pages": 3},
                "back": want[:30],
                "moved": want[5:9],
                "refused": [400, "live", want[5:9]],
                "failed": ["NOT_FOUND", 404, "entity"],
                "state": "open",
            }
        assert house.streams() == 1
    finally:
        for page in pages:
            await page.close()
        await house.stop()
