// The infinite list against the database, while rows move across its borders.

import assert from "node:assert/strict";
import test, { after, before } from "node:test";

import { WebSocket } from "ws";

import { LiveClient } from "../src/livequery.js";
import { startHouse, until } from "./house.mjs";

const ROWS = Number(process.env.LIVEQUERY_LIST_ROWS ?? 1000);
const SECONDS = Number(process.env.LIVEQUERY_LIST_SECONDS ?? 6);
const PAGE = 50;
const QUERY = { entity: "orders", sort: ["-total"] };
const ORDER = "SELECT id, total, note FROM orders ORDER BY total DESC, id";

let house;
before(async () => (house = await startHouse({ rows: ROWS })));
after(() => house.stop());

const shape = (list) => list.rows.map(({ row: { id, total, note } }) => `${id} ${total} ${note}`);

/** The rows are a slice of the database's order, without a gap; returns where it begins, or what is wrong. */
async function placeOf(list) {
  const all = (await house.select(ORDER)).map(({ id, total, note }) => `${id} ${total} ${note}`);
  const held = shape(list);
  const at = all.indexOf(held[0]);
  const same = held.length > 0 && held.every((row, n) => row === all[at + n]);
  return same ? at : { held: held.length, at, wrong: held.findIndex((row, n) => row !== all[at + n]) };
}

const atRest = (list) =>
  until(async () => {
    const at = await placeOf(list);
    return typeof at === "number" || at;
  });

const start = async (t, transport) => {
  const client = new LiveClient(house.base, { transport, WebSocket });
  t.after(() => client.close());
  const list = client.list(QUERY, { page: PAGE });
  await list.ready;
  return list;
};

for (const transport of ["ws", "sse", "poll"]) {
  test(`${transport}: scrolled to the end and back without changes, every row is met, in order, once`, { timeout: 120_000 }, async (t) => {
    const list = await start(t, transport);
    const met = shape(list);
    assert.deepEqual([list.hasBefore, list.hasMore, list.window], [false, true, { first: 0, last: 49, pages: 1 }]);
    while (list.hasMore) {
      const added = await list.loadMore();
      met.push(...shape(list).slice(list.rows.length - added));
      assert.ok(list.window.pages <= 3 && list.rows.length <= 150);
      assert.equal(list.window.last - list.window.first + 1, list.rows.length);
      assert.equal(await placeOf(list), list.window.first);
    }
    assert.equal(met.length, ROWS);
    assert.equal(new Set(met).size, ROWS);
    assert.equal(list.window.last, ROWS - 1);
    const back = [];
    while (list.hasBefore) {
      const added = await list.loadBack();
      back.unshift(...shape(list).slice(0, added));
      assert.equal(await placeOf(list), list.window.first);
    }
    assert.deepEqual(back, met.slice(0, back.length));
    assert.deepEqual([list.window.first, await list.loadBack()], [0, 0]);
  });
}

test("while 50 writes a second move rows across its borders, it is exact at every rest, and one query at the tier", { timeout: 600_000 }, async (t) => {
  const list = await start(t, "ws");
  let writing = true;
  let writes = 0;
  const writer = (async () => {
    while (writing) {
      const n = (writes++ * 7919) % ROWS;
      const held = list.rows[writes % list.rows.length]?.agg_id;
      const id = writes % 3 ? `o${`${n}`.padStart(5, "0")}` : (held ?? "o00000");
      if (writes % 25 === 0) await house.sql(["INSERT OR REPLACE INTO orders VALUES (?, 'open', ?, 'new')", [`n${n}`, (n * 31) % 10_007]]);
      else if (writes % 40 === 0) await house.sql(["DELETE FROM orders WHERE id = ?", [id]]);
      else await house.sql(["UPDATE orders SET total = ? WHERE id = ?", [(writes * 104_729) % 10_007, id]]);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  })();
  const blocked = [];
  list.subscribe(() => {
    assert.equal(new Set(list.rows.map(({ agg_id }) => agg_id)).size, list.rows.length, "a row twice");
    blocked.push(list.rows.length);
  });
  const end = Date.now() + SECONDS * 1000;
  let moves = 0;
  let forth = true;
  while (Date.now() < end || moves <= 20 || writes <= 50) {
    if (forth ? !list.hasMore : !list.hasBefore) forth = !forth;
    await (forth ? list.loadMore() : list.loadBack());
    moves++;
    assert.ok(list.rows.length <= 3 * PAGE);
    if (moves % 20 === 0) {
      writing = false;
      await writer.catch(() => {});
      await atRest(list);
      // Those of the lists before it linger for a while.
      await until(async () => (await house.call("subscriptions")) === 1);
      writing = true;
      start50();
    }
  }
  writing = false;
  await writer;
  await atRest(list);
  t.diagnostic(`${moves} moves, ${writes} writes, ${blocked.length} changes`);
  assert.ok(moves > 20 && writes > 50);

  function start50() {
    // The first writer has ended with the rest; another goes on.
    (async () => {
      while (writing) {
        await house.sql(["UPDATE orders SET total = ? WHERE id = ?", [(writes++ * 104_729) % 10_007, `o${`${(writes * 31) % ROWS}`.padStart(5, "0")}`]]);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    })().catch(() => {});
  }
});

test("where so many rows came in before it that it is out of reach, loadBack goes on by a page", { timeout: 60_000 }, async (t) => {
  const list = await start(t, "ws");
  for (let i = 0; i < 4; i++) await list.loadMore();
  await atRest(list);
  const earlier = shape(list);
  const { total } = list.rows[0].row;
  const rows = Array.from({ length: 400 }, (_, n) => ["INSERT INTO orders VALUES (?, 'open', ?, 'between')", [`between${n}`, total + 1]]);
  await house.sql(...rows);
  const added = await list.loadBack();
  await atRest(list);
  const now = shape(list);
  assert.ok(added > 0 && added <= 100, `${added} added`);
  assert.equal(now[added], earlier[0]);
  assert.ok(list.hasBefore);
  let loaded = 0;
  while (list.hasBefore) loaded += await list.loadBack();
  assert.ok(loaded > 300);
  assert.equal(await placeOf(list), 0);
});

test("what is asked for at once is done one after the other; a list that is closed rejects", async (t) => {
  const list = await start(t, "ws");
  const added = await Promise.all([list.loadMore(), list.loadMore(), list.loadMore(), list.loadBack()]);
  assert.deepEqual(added.slice(0, 3), [50, 50, 50]);
  list.close();
  await assert.rejects(list.loadMore(), { code: "CANCELLED" });
  assert.equal(list.status, "ended");
});
