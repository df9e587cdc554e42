// The real bridge before the real tier: every window ends as the database has it.

import assert from "node:assert/strict";
import test, { after, before } from "node:test";

import { WebSocket } from "ws";

import { LiveClient } from "../src/livequery.js";
import { columns, startHouse, until } from "./house.mjs";

const OPEN = { entity: "orders", where: [["status", "=", "open"]], sort: ["-total"], limit: 10 };
const OPEN_SQL = "SELECT * FROM orders WHERE status = 'open' ORDER BY total DESC, id LIMIT 10";

let house;
before(async () => (house = await startHouse({ rows: 200 })));
after(() => house.stop());

const clientOf = (t, transport, options = {}) => {
  const client = new LiveClient(house.base, { transport, WebSocket, ...options });
  t.after(() => client.close());
  return client;
};

const equals = async (view, sql) => {
  const want = JSON.stringify(await house.select(sql));
  return JSON.stringify(columns(view.rows)) === want || [view.status, columns(view.rows)];
};

/** Moves some order into, within or out of the window. */
let turn = 0;
const change = () => house.sql(["UPDATE orders SET total = total + ? WHERE id = ?", [(++turn % 3) * 3000 - 2500, `o${`${(turn * 4) % 200}`.padStart(5, "0")}`]]);

for (const transport of ["auto", "ws", "sse", "poll"]) {
  test(`${transport}: exact through changes, reanchors, a bridge restarted and a tier killed`, { timeout: 60_000 }, async (t) => {
    const client = clientOf(t, transport);
    const live = client.live(OPEN);
    await live.ready;
    await until(() => equals(live, OPEN_SQL));
    for (let i = 0; i < 20; i++) await change();
    await until(() => equals(live, OPEN_SQL));

    const [, , , , fifth] = live.rows;
    await live.reanchor({ cursor: fifth.cursor, limit: 4 });
    await until(() => equals(live, "SELECT * FROM orders WHERE status = 'open' ORDER BY total DESC, id LIMIT 4 OFFSET 5"));
    await assert.rejects(live.reanchor({ cursor: { values: [1, 2, 3] } }), ({ status, field }) => status === 400 && field.startsWith("cursor"));
    await until(() => live.status === "live");
    assert.equal(live.rows.length, 4);
    await live.reanchor({ limit: 10 });
    await until(() => equals(live, OPEN_SQL));

    const kept = live.rows[0];
    await house.call("restart_bridge");
    await change();
    await until(async () => live.status === "live" && (await equals(live, OPEN_SQL)), 30_000);
    await house.call("stop_tier");
    if (transport !== "poll") await until(() => live.status !== "live");
    await change();
    await house.call("start_tier");
    await until(async () => live.status === "live" && (await equals(live, OPEN_SQL)), 40_000);
    const again = live.rows.find(({ agg_id }) => agg_id === kept.agg_id);
    if (again?.version === kept.version) assert.equal(again, kept);
  });
}

test("a refused query names its field, over every transport and by fetch", async (t) => {
  for (const transport of ["ws", "sse", "poll"]) {
    const client = clientOf(t, transport);
    const query = { entity: "orders", sort: ["nope"], limit: 3 };
    const error = { code: "INVALID_ARGUMENT", status: 400, field: "sort[0].column", retryable: false };
    await assert.rejects(client.live(query).ready, error);
    await assert.rejects(client.fetch(query), error);
    await assert.rejects(client.live({ entity: "nope", limit: 3 }).ready, { code: "NOT_FOUND", status: 404 });
  }
});

test("rendered on a server, gone on from in a page: no row comes twice, and what changed meanwhile comes", async (t) => {
  const server = clientOf(t, "auto");
  const rendered = JSON.parse(JSON.stringify(await server.fetch(OPEN)));
  for (const transport of ["ws", "sse", "poll"]) {
    const told = [];
    const page = clientOf(t, transport, { onMessage: (message, way) => way === "in" && told.push(message) });
    const live = page.live(OPEN, { initial: rendered });
    assert.deepEqual([live.rows.length, live.status], [10, "connecting"]);
    const shown = live.rows;
    await live.ready;
    assert.equal(live.rows, shown, transport);
    assert.doesNotMatch(JSON.stringify(told), /agg_id/, transport);
    await change();
    await until(() => equals(live, OPEN_SQL));
    rendered.rows = JSON.parse(JSON.stringify(live.rows));
    rendered.pos = (await server.fetch(OPEN)).pos;
  }
});

test("after eight hours twenty changed rows of five hundred come as a diff, and the others stay", async (t) => {
  await house.call("fill_more", 1000);
  const query = { entity: "orders", sort: ["id"], limit: 500 };
  const sql = "SELECT * FROM orders ORDER BY id LIMIT 500";
  const store = new Map();
  const persist = { get: (key) => store.get(key), set: (key, value) => store.set(key, structuredClone(value)), delete: (key) => store.delete(key) };
  const first = clientOf(t, "ws", { persist });
  const earlier = first.live(query);
  await earlier.ready;
  await until(() => store.size === 1, 1500);
  first.close();
  for (let n = 0; n < 20; n++) await house.sql(["UPDATE orders SET note = ? WHERE id = ?", [`later ${n}`, `o${`${n * 7}`.padStart(5, "0")}`]]);
  await house.call("restart_bridge"); // nobody there remembers
  const frames = [];
  const second = clientOf(t, "ws", { persist, onMessage: (message) => message.type === "frames" && frames.push(...message.frames) });
  const began = performance.now();
  const live = second.live(query);
  assert.equal(live.rows.length, 500);
  assert.ok(performance.now() - began < 50);
  const shown = new Set(live.rows);
  await live.ready;
  await until(() => equals(live, sql));
  assert.ok(frames.length <= 40, `${frames.length} frames`);
  assert.ok(frames.every(({ op }) => op === "update"));
  assert.equal(live.rows.filter((row) => shown.has(row)).length, 480);
});

test("what a store holds that is no window is passed over, and a store that fails harms nobody", async (t) => {
  t.mock.method(console, "warn", () => {});
  const fails = () => {
    throw new Error("no store here");
  };
  for (const get of [() => "x", () => ({ rows: [7] }), () => ({ rows: "y", pos: 3 }), async () => fails(), async () => ({ rows: null }), fails]) {
    const persist = { get, set: () => Promise.reject(new Error("full")), delete: () => {} };
    const live = clientOf(t, "ws", { persist }).live(OPEN);
    await live.ready;
    await until(() => equals(live, OPEN_SQL));
  }
});
