"""The infinite list in a real Chromium, scrolled forth and back while rows move across its borders."""

import asyncio
import contextlib
import itertools
import random

import pytest

from chromium import on_chromium
from client_house import ClientHouse
from list_page import open_list, scroll, told

PAGE = 50
RATE = 50
"""Writes a second."""
SQL = "SELECT id, total, note FROM orders ORDER BY total DESC, id"
MOVE = "UPDATE orders SET total = ? WHERE id = ?"
MOST = 10_007

pytestmark = [*on_chromium(900), pytest.mark.early]


class Writer:
    """Changes orders at a pace; most of them cross a border of the rows `held`, or come near it."""

    def __init__(self, house):
        self.house = house
        self.held = []
        self.count = 0
        self.seconds = 0.0
        self._dice = random.Random(7)

    @contextlib.asynccontextmanager
    async def writing(self):
        loop = asyncio.get_running_loop()
        began, before = loop.time(), self.count
        task = asyncio.create_task(self._write(loop))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self.seconds += loop.time() - began
            assert self.count > before

    async def _write(self, loop):
        began = loop.time()
        for n in itertools.count(1):
            self._write_one()
            self.count += 1
            await asyncio.sleep(max(0.0, began + n / RATE - loop.time()))

    def _write_one(self):
        dice, commit = self._dice, self.house.commit
        held, total, _ = dice.choice(self.held)
        last, least, _ = self.held[-1]
        other = f"o{dice.randrange(self.rows):05}"
        match self.count % 8:
            case 0:  # out of the window
                commit(MOVE, [dice.randrange(MOST), held])
            case 1 | 2:  # into it
                commit(MOVE, [total, other])
            case 3:  # across the end of it
                commit(MOVE, [least - 1, last])
            case 4:  # across its beginning
                commit(MOVE, [self.held[0][1] + 1, self.held[0][0]])
            case 5:
                commit("INSERT OR REPLACE INTO orders VALUES (?, 'open', ?, 'new')", [other, total])
            case 6:
                commit("DELETE FROM orders WHERE id = ?", [other])
            case _:
                commit(MOVE, [dice.randrange(MOST), other])

    @property
    def rows(self):
        return self.house.rows


async def at_rest(house, page):
    """Wait until what is held and shown is a slice of what SQL selects, without a gap; return both."""
    await house.tier.settle()
    every = [[row["id"], row["total"], row["note"]] for row in house.select(SQL)]
    try:
        async with asyncio.timeout(60):
            while True:
                state = await told(page)
                rows = state["rows"]
                at = every.index(rows[0]) if rows and rows[0] in every else -1
                same = at >= 0 and rows == every[at : at + len(rows)]
                if same and state["shown"] == [row[0] for row in rows]:
                    return every, at, state
                await asyncio.sleep(0.05)
    except TimeoutError:
        pytest.fail(f"held are not {len(rows)} rows from {at} of the order: {state['window']}")


async def rest(house, page, *, forth):
    """Compare with SQL, load one page while nothing changes, and compare again."""
    every, at, state = await at_rest(house, page)
    end = at + len(state["rows"])
    if forth and not state["more"]:
        assert end == len(every)
        return state
    if not forth and not state["before"]:
        assert at == 0
        return state
    added = await page.evaluate("list.loadMore()" if forth else "list.loadBack()")
    _, now, state = await at_rest(house, page)
    if forth:
        assert now + len(state["rows"]) - end == added
    else:
        assert at - now == added
    return state


async def travel(house, page, writer, *, forth, loads):
    """Scroll to one end of the list, with a rest after so many pages. Return how many rests."""
    rests, goes_on = 0, True
    while goes_on:
        async with writer.writing():
            await scroll(page, forth=forth, loads=loads)
        state = await rest(house, page, forth=forth)
        writer.held = state["rows"]
        rests += 1
        goes_on = state["more" if forth else "before"]
    return rests


@pytest.mark.parametrize(
    ("rows", "loads"), [(1000, 6), pytest.param(10_000, 20, marks=pytest.mark.soak)]
)
async def test_scrolled_forth_and_back_under_50_writes_a_second_it_is_exact_at_every_rest(
    context, rows, loads
):
    house = await ClientHouse(rows=rows, options={"linger": "0s"}).start()
    house.rows = rows
    try:
        page = await context.new_page()
        await open_list(page, house.url, rows_of_page=PAGE)
        writer = Writer(house)
        writer.held = (await told(page))["rows"]
        rests = await travel(house, page, writer, forth=True, loads=loads)
        assert house.subscriptions() == 1
        rests += await travel(house, page, writer, forth=False, loads=loads)
        assert await page.evaluate("faults") == []
        costs = sorted(await page.evaluate("costs"))
        median, most = costs[len(costs) // 2], costs[len(costs) * 95 // 100]
        pace = writer.count / writer.seconds
        waits = sorted(await page.evaluate("waits"))
        print(
            f"{rests} rests, {len(waits)} pages in {waits[len(waits) // 2]:.0f} ms each, {writer.count} writes at {pace:.0f}/s; {len(costs)} updates took"
            f" {median:.2f} ms in the median, 95 % {most:.2f}, at most {costs[-1]:.2f}"
        )
        if rows == 10_000:
            assert most < 1
    finally:
        await house.stop()
