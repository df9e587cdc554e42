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
    const answers = [];
    const noted = async (...of) => {
      const answer = await fetch(...of);
      answers.push(answer.status === 304 ? [304, (await answer.clone().arrayBuffer()).byteLength] : [answer.status]);
      return answer;
    };
    const page = clientOf(t, transport, { fetch: noted, onMessage: (message, way) => way === "in" && told.push(message) });
    const live = page.live(OPEN, { initial: rendered });
    assert.deepEqual([live.rows.length, live.status], [10, "connecting"]);
    const shown = live.rows;
    await live.ready;
    assert.equal(live.rows, shown, transport);
    assert.doesNotMatch(JSON.stringify(told), /agg_id/, transport);
    if (transport === "poll") assert.deepEqual(answers[0], [304, 0], "nothing has changed");
    await change();
    await until(() => equals(live, OPEN_SQL));
    rendered.rows = JSON.parse(JSON.stringify(live.rows));
    rendered.pos = (await server.fetch(OPEN)).pos;
  }
});

test("a thousand first loads at once are one Subscribe, and one answer", async (t) => {
  const own = await startHouse({ rows: 50, options: { linger: "5s", max_connections_per_ip: "0", accept_rate_per_ip: "0" } });
  t.after(() => own.stop());
  const client = new LiveClient(own.base);
  const loads = await Promise.all(Array.from({ length: 1000 }, () => client.fetch(OPEN)));
  assert.equal(await own.call("subscribed"), 1);
  assert.equal(new Set(loads.map((load) => JSON.stringify(load))).size, 1);
  assert.deepEqual(columns(loads[0].rows), await own.select(OPEN_SQL));
});

const HOURS = 3_600_000;
const LONG = { entity: "orders", sort: ["-total"], limit: 500 };
const LONG_SQL = "SELECT * FROM orders ORDER BY total DESC, id LIMIT 500";

/** Changes twenty of the window's rows: eight in place, six move, six leave and make room for others. */
async function changeTwenty(note) {
  const rows = await house.select(LONG_SQL);
  for (const { id } of rows.slice(10, 18)) await house.sql(["UPDATE orders SET note = ? WHERE id = ?", [note, id]]);
  for (const { id } of rows.slice(100, 106)) await house.sql(["UPDATE orders SET total = ? WHERE id = ?", [rows[300].total, id]]);
  for (const { id } of rows.slice(200, 206)) await house.sql(["UPDATE orders SET total = -1 WHERE id = ?", [id]]);
}

/** Notes the frames that come, and rows of `staying` that are gone for a moment. */
function watchRows(live, staying) {
  const missing = [];
  live.subscribe(() => {
    const ids = new Set(live.rows.map(({ agg_id }) => agg_id));
    missing.push(...staying.filter((id) => !ids.has(id)));
  });
  return missing;
}

test("eight hours asleep: twenty changes of five hundred rows are at most forty frames, and no row goes that stays", async (t) => {
  await house.call("fill_more", 1000);
  const frames = [];
  const client = clientOf(t, "ws", { onMessage: (message) => message.type === "frames" && frames.push(...message.frames) });
  const live = client.live(LONG);
  await live.ready;
  const shown = live.rows;
  await house.call("stop_bridge");
  const { now } = Date;
  t.mock.method(Date, "now", () => now() + 8 * HOURS);
  await changeTwenty("slept");
  const ids = new Set((await house.select(LONG_SQL)).map(({ id }) => id));
  const missing = watchRows(live, shown.map(({ agg_id }) => agg_id).filter((id) => ids.has(id)));
  frames.length = 0;
  await house.call("start_bridge"); // nobody there remembers
  await until(async () => live.status === "live" && (await equals(live, LONG_SQL)), 30_000);
  assert.ok(frames.length > 0 && frames.length <= 40, `${frames.length} frames`);
  assert.deepEqual(missing, []);
  const same = new Set(shown);
  assert.equal(live.rows.filter((row) => same.has(row)).length, 480);
});

test("back after eight hours: painted from the store at once, then at most forty frames, and no row goes that stays", async (t) => {
  await house.call("fill_more", 1000);
  const store = new Map();
  const persist = { get: (key) => store.get(key), set: (key, value) => store.set(key, structuredClone(value)), delete: (key) => store.delete(key) };
  const first = clientOf(t, "ws", { persist });
  await first.live(LONG).ready;
  await until(() => store.size === 1, 1500);
  first.close();
  await until(async () => (await house.call("subscriptions")) === 0); // its linger is over
  await changeTwenty("left");
  const { now } = Date;
  t.mock.method(Date, "now", () => now() + 8 * HOURS);
  const frames = [];
  const second = clientOf(t, "ws", { persist, onMessage: (message) => message.type === "frames" && frames.push(...message.frames) });
  const began = performance.now();
  const live = second.live(LONG);
  const painted = performance.now() - began;
  t.diagnostic(`rows after ${painted.toFixed(1)} ms`);
  const shown = new Set(live.rows);
  assert.deepEqual([shown.size, live.status], [500, "connecting"]);
  const ids = new Set((await house.select(LONG_SQL)).map(({ id }) => id));
  const missing = watchRows(live, live.rows.map(({ agg_id }) => agg_id).filter((id) => ids.has(id)));
  await live.ready;
  await until(() => equals(live, LONG_SQL));
  assert.ok(frames.length > 0 && frames.length <= 40, `${frames.length} frames`);
  assert.deepEqual(missing, []);
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
