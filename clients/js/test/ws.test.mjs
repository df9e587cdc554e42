// The WebSocket, before a bridge that says what the test says; a hostile one, too.

import assert from "node:assert/strict";
import test from "node:test";

import { WebSocket } from "ws";

import { LiveClient } from "../src/livequery.js";
import { until } from "./house.mjs";
import { digest, enter, ids, scripted, snapshot } from "./scripted.mjs";

const QUERY = { entity: "things", limit: 10 };

/** @param {any} t */
async function start(t, options = {}) {
  t.mock.method(Math, "random", () => 0.05); // back-off is short
  const warn = t.mock.method(console, "warn", () => {});
  const bridge = await scripted();
  const client = new LiveClient(bridge.base, { transport: "ws", WebSocket, ...options });
  t.after(async () => {
    client.close();
    await bridge.stop();
  });
  return { bridge, client, warn };
}

async function shown(t, options) {
  const house = await start(t, options);
  const window = house.client.live(QUERY);
  const statuses = [];
  window.subscribe(() => statuses.at(-1) !== window.status && statuses.push(window.status));
  const peer = await house.bridge.peer();
  const { sub } = await peer.next("subscribe");
  peer.show(sub, "a", "b");
  await window.ready;
  return { ...house, window, peer, sub, statuses };
}

test("rows are shown when ready has vouched for them, in one change", async (t) => {
  const { bridge, client } = await start(t);
  const window = client.live(QUERY);
  let calls = 0;
  window.subscribe(() => calls++);
  const peer = await bridge.peer();
  const { sub, query, resume, known } = await peer.next("subscribe");
  assert.deepEqual([query, resume, known], [QUERY, undefined, undefined]);
  peer.send({ type: "frames", sub, pos: "1", frames: snapshot("a", "b") });
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.equal(window.rows.length, 0);
  peer.send({ type: "ready", sub, rows: 2, resumed: "snapshot", digest: digest("a", "b") });
  await window.ready;
  assert.deepEqual([ids(window), window.status, calls, client.state], ["a b", "live", 1, "open"]);
});

test("all queries of a client are on one socket, each under a name of its own", async (t) => {
  const { bridge, client } = await start(t);
  const windows = ["a", "b", "c"].map((entity) => client.live({ entity, limit: 3 }));
  const peer = await bridge.peer();
  const subs = [];
  for (const _ of windows) {
    const { sub, query } = await peer.next("subscribe");
    subs.push(sub);
    peer.show(sub, query.entity);
  }
  await Promise.all(windows.map((window) => window.ready));
  assert.deepEqual(windows.map(ids), ["a", "b", "c"]);
  assert.equal(new Set(subs).size, 3);
  assert.equal(bridge.count, 1);
  windows[1].close();
  assert.equal((await peer.next("unsubscribe")).sub, subs[1]);
});

test("a client that returns offers its place and its window, and keeps its rows meanwhile", async (t) => {
  const { bridge, window, peer, statuses } = await shown(t);
  const [before] = window.rows;
  peer.cut();
  const again = await bridge.peer();
  const { sub, resume, known } = await again.next("subscribe");
  assert.deepEqual([resume, known, ids(window)], ["p-ab", [["a", 1], ["b", 1]], "a b"]);
  assert.equal(sub, "1", "names begin anew with a socket: a bridge prints once for all of one name");
  again.send({ type: "frames", sub, pos: "2", frames: [{ op: "leave", agg_id: "b" }, enter("c", 1)] });
  again.send({ type: "ready", sub, rows: 2, resumed: "diff", digest: digest("a", "c") });
  await until(() => ids(window) === "a c");
  assert.deepEqual(statuses, ["live", "reconnecting", "live"]);
  assert.equal(window.rows[0], before);
  assert.equal(window.error, null);
});

test("a window too large for a message is not offered", async (t) => {
  const { bridge, client } = await start(t);
  const window = client.live({ entity: "things", limit: 1000 });
  const peer = await bridge.peer();
  const { sub } = await peer.next("subscribe");
  peer.show(sub, ...Array.from({ length: 900 }, (_, n) => `${n}`.padStart(100, "x")));
  await window.ready;
  peer.cut();
  const { resume, known } = await (await bridge.peer()).next("subscribe");
  assert.ok(resume);
  assert.equal(known, undefined);
});

for (const where of ["ready", "beat"]) {
  test(`a wrong digest in ${where} heals itself, offers nothing, shows nothing, and is told`, async (t) => {
    const { window, peer, sub, warn } = await shown(t);
    const at = where === "beat" ? sub : undefined;
    if (where === "beat") peer.send({ type: "beat", subs: { [sub]: "00000000" } });
    else {
      window.reanchor({ limit: 5 });
      await peer.next("reanchor");
      peer.send({ type: "ready", sub, rows: 2, resumed: "diff", digest: "00000000" });
    }
    const next = await peer.next("subscribe");
    assert.equal((await peer.next("unsubscribe")).sub, sub);
    assert.notEqual(next.sub, at);
    assert.deepEqual([next.resume, next.known, ids(window), window.status], [undefined, undefined, "a b", "stale"]);
    peer.send({ type: "frames", sub, pos: "x", frames: snapshot("old") }); // of the one that was left
    peer.show(next.sub, "a", "z");
    await until(() => ids(window) === "a z" && window.status === "live");
    assert.equal(warn.mock.callCount(), 1);
  });
}

test("a window that is wrong again and again is never shown, and asked for with back-off", async (t) => {
  const { bridge, client } = await start(t);
  const window = client.live(QUERY);
  const peer = await bridge.peer();
  const asked = [];
  for (let i = 0; i < 5; i++) {
    const { sub } = await peer.next("subscribe");
    asked.push(Date.now());
    peer.send({ type: "frames", sub, pos: "1", frames: snapshot("wrong") });
    peer.send({ type: "ready", sub, rows: 1, resumed: "snapshot", digest: "00000000" });
  }
  assert.equal(window.rows.length, 0);
  assert.notEqual(window.status, "live");
  assert.ok(asked[4] - asked[0] >= 25 + 50 + 100 + 200 - 10);
});

test("what is counted wrong, or begins without a reset where nothing was offered, is not shown", async (t) => {
  const { bridge, client } = await start(t);
  const window = client.live(QUERY);
  const peer = await bridge.peer();
  let { sub } = await peer.next("subscribe");
  peer.send({ type: "frames", sub, pos: "1", frames: snapshot("a") });
  peer.send({ type: "ready", sub, rows: 7, resumed: "snapshot" });
  ({ sub } = await peer.next("subscribe"));
  peer.send({ type: "frames", sub, pos: "1", frames: [enter("a", 0)] });
  peer.send({ type: "ready", sub, rows: 1, resumed: "diff", digest: digest("a") });
  ({ sub } = await peer.next("subscribe"));
  assert.equal(window.rows.length, 0);
  peer.show(sub, "a");
  await window.ready;
});

const HOSTILE = {
  "half a message": '{"type":"frames","sub":"1","fra',
  "a page": "<!doctype html><title>Welcome to our Wi-Fi</title>",
  "frames that are none": { type: "frames", sub: "1", pos: "x", frames: [{ op: "enter", agg_id: 7 }] },
  "frames that are no list": { type: "frames", sub: "1", pos: "x", frames: { 0: "enter" } },
};
for (const [what, message] of Object.entries(HOSTILE)) {
  test(`${what} ends the connection: to go on would be a silent gap`, async (t) => {
    const { bridge, window, peer } = await shown(t);
    peer.send(message);
    const again = await bridge.peer();
    const { sub, resume } = await again.next("subscribe");
    assert.deepEqual([resume, ids(window)], ["p-ab", "a b"]);
    again.show(sub, "a", "c");
    await until(() => ids(window) === "a c");
  });
}

test("types that are not known, names that are not known and null are passed over", async (t) => {
  const { window, peer, sub, bridge } = await shown(t);
  for (const message of ["null", "7", "[]", { type: "constructor", sub }, { type: "news", sub }, {}]) peer.send(message);
  peer.send({ type: "frames", sub: "nobody", pos: "1", frames: snapshot("x") });
  peer.send({ type: "ready", sub: "__proto__", rows: 1 });
  peer.send({ type: "beat", subs: null });
  peer.send({ type: "error", code: "UNIMPLEMENTED", status: 501, message: "no such action" });
  peer.send({ type: "frames", sub, pos: "2", frames: [{ op: "fly", agg_id: "a" }, enter("c", 2)] });
  await until(() => ids(window) === "a b c");
  assert.equal(bridge.count, 1);
});

test("10,000 frames in a burst are one change a group, and end in the right window", async (t) => {
  const { window, peer, sub } = await shown(t);
  let calls = 0;
  window.subscribe(() => calls++);
  const change = (n) => ({ op: "update", agg_id: "a", version: n + 2, row: { n }, new_index: 0, old_index: 0 });
  peer.send({ type: "frames", sub, pos: "2", frames: Array.from({ length: 5000 }, (_, n) => change(n)) });
  for (let n = 5000; n < 10_000; n++) peer.send({ type: "frames", sub, pos: `${n}`, frames: [change(n)] });
  await until(() => window.rows[0].row.n === 9999);
  assert.equal(calls, 5001);
});

for (const code of [1001, 1006, 1011, 1012, 1013, 4000, 4002, 4003, 4005]) {
  test(`close code ${code}: the client comes back`, async (t) => {
    const { bridge, window, peer } = await shown(t);
    if (code === 1006) peer.cut();
    else peer.close(code, "busy");
    await until(() => window.status === "reconnecting");
    assert.equal(window.error.retryable, true);
    const again = await bridge.peer();
    again.show((await again.next("subscribe")).sub, "a");
    await until(() => ids(window) === "a");
  });
}

for (const [code, status, name] of [[4500, 400, "INVALID_ARGUMENT"], [4503, 403, "PERMISSION_DENIED"], [4504, 404, "NOT_FOUND"], [4512, 501, "UNIMPLEMENTED"], [1009, 413, "RESOURCE_EXHAUSTED"], [4501, 401, "UNAUTHENTICATED"]]) {
  test(`close code ${code}: the client stays away and says why`, async (t) => {
    const { bridge, window, peer } = await shown(t);
    peer.close(code, "because");
    await until(() => window.status === "failed");
    assert.deepEqual({ ...window.error }, { code: name, status, message: "because", retryable: false });
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(bridge.count, 1);
    assert.equal(ids(window), "a b");
  });
}

test("a drain is obeyed: back after as long as it says", async (t) => {
  const { bridge, window, peer } = await shown(t);
  peer.send({ type: "drain", reconnect_after_ms: 300 });
  peer.close(1001, "the bridge is restarting");
  const left = Date.now();
  const again = await bridge.peer();
  assert.ok(Date.now() - left >= 280);
  again.show((await again.next("subscribe")).sub, "a");
  await until(() => window.status === "live");
});

test("a bridge that is away is asked with a back-off that grows to 15 s", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"] });
  t.mock.method(Math, "random", () => 1);
  const waits = [];
  class Gone {
    constructor() {
      waits.push(Date.now());
      queueMicrotask(() => this.onclose({ code: 1006, reason: "" }));
    }
    close() {}
  }
  const client = new LiveClient("http://127.0.0.1:1/live", { transport: "ws", WebSocket: Gone });
  client.live(QUERY);
  for (let s = 0; s < 1300; s++) {
    for (let i = 0; i < 5; i++) await null;
    t.mock.timers.tick(50);
  }
  client.close();
  const between = waits.slice(1).map((at, i) => at - waits[i]);
  assert.deepEqual(between.slice(0, 7), [500, 1000, 2000, 4000, 8000, 15000, 15000]);
});

test("a refused query fails that window alone, with its field", async (t) => {
  const { client, peer, window } = await shown(t);
  const bad = client.live({ entity: "nope", limit: 1 });
  const { sub } = await peer.next("subscribe");
  peer.send({ type: "error", sub, code: "NOT_FOUND", status: 404, message: "no such", field: "entity", retryable: false });
  await assert.rejects(bad.ready, { code: "NOT_FOUND", status: 404, field: "entity", message: "no such" });
  assert.deepEqual([bad.status, window.status], ["failed", "live"]);
});

test("a refusal that passes is tried again on the same socket, after as long as it says", async (t) => {
  const { bridge, client } = await start(t);
  const window = client.live(QUERY);
  const peer = await bridge.peer();
  const first = await peer.next("subscribe");
  const at = Date.now();
  peer.send({ type: "error", sub: first.sub, code: "RESOURCE_EXHAUSTED", status: 429, message: "full", retryable: true, retry_after_ms: 200 });
  const next = await peer.next("subscribe");
  assert.ok(Date.now() - at >= 195);
  peer.show(next.sub, "a");
  await window.ready;
});

test("stale and live are told; the rows stay", async (t) => {
  const { window, peer, sub, statuses } = await shown(t);
  peer.send({ type: "stale", sub, reason: "the tier is lost" });
  peer.send({ type: "live", sub, reason: "resubscribed" });
  await until(() => statuses.join() === "live,stale,live");
  assert.equal(ids(window), "a b");
});

test("ended: the tier's OK ends it for good, what is passing comes back, a denial fails", async (t) => {
  const { window, peer, sub, client } = await shown(t);
  peer.send({ type: "ended", sub, reason: "unavailable" });
  const next = await peer.next("subscribe");
  peer.show(next.sub, "c");
  await until(() => ids(window) === "c");
  peer.send({ type: "ended", sub: next.sub, reason: "completed" });
  await until(() => window.status === "ended");
  assert.equal(window.error, null);
  const other = client.live(QUERY);
  const third = await peer.next("subscribe");
  peer.show(third.sub, "a");
  await other.ready;
  peer.send({ type: "error", sub: third.sub, code: "PERMISSION_DENIED", status: 403, message: "no more", retryable: false });
  peer.send({ type: "ended", sub: third.sub, reason: "denied" });
  await until(() => other.status === "failed");
  assert.deepEqual([other.error.code, other.error.message], ["PERMISSION_DENIED", "no more"]);
});

test("a reanchor is answered by a diff and ready; a refused one rejects, and the old window stays", async (t) => {
  const { window, peer, sub } = await shown(t);
  const moved = window.reanchor({ cursor: { values: ["a"] }, limit: 3 });
  assert.deepEqual(await peer.next("reanchor"), { action: "reanchor", sub, cursor: { values: ["a"] }, limit: 3 });
  const [, b] = window.rows;
  peer.send({ type: "frames", sub, pos: "2", frames: [{ op: "leave", agg_id: "a" }, enter("c", 1)] });
  peer.send({ type: "ready", sub, rows: 2, resumed: "diff", digest: digest("b", "c") });
  await moved;
  assert.equal(window.rows[0], b);
  const refused = window.reanchor({ cursor: { values: [1, 2, 3] } });
  await peer.next("reanchor");
  peer.send({ type: "error", sub, code: "INVALID_ARGUMENT", status: 400, message: "arity", field: "cursor", retryable: false });
  await assert.rejects(refused, { field: "cursor" });
  assert.deepEqual([ids(window), window.status], ["b c", "live"]);
  peer.cut();
});

test("of reanchors in a row one is under way at a time, and the newest is where it ends", async (t) => {
  const { window, peer, sub } = await shown(t);
  const moves = [1, 2, 3].map((n) => window.reanchor({ cursor: { values: [n] } }));
  assert.deepEqual((await peer.next("reanchor")).cursor.values, [1]);
  peer.send({ type: "ready", sub, rows: 2, resumed: "diff", digest: digest("a", "b") });
  assert.deepEqual((await peer.next("reanchor")).cursor.values, [3]);
  peer.send({ type: "ready", sub, rows: 2, resumed: "diff", digest: digest("a", "b") });
  await Promise.all(moves);
});

test("a connection lost during a reanchor comes back at the new anchor", async (t) => {
  const { bridge, window, peer } = await shown(t);
  const moved = window.reanchor({ cursor: { values: ["m"] } });
  await peer.next("reanchor");
  peer.cut();
  const again = await bridge.peer();
  const { sub, query } = await again.next("subscribe");
  assert.deepEqual(query.cursor, { values: ["m"] });
  again.show(sub, "n");
  await moved;
  assert.equal(ids(window), "n");
});

test("a token is shown first; 4501 asks for another once, and comes back at once", async (t) => {
  let asked = 0;
  const { bridge, client } = await start(t, { token: async () => `token-${++asked}` });
  const window = client.live(QUERY);
  const first = await bridge.peer();
  assert.equal((await first.next("authenticate")).token, "token-1");
  first.close(4501, "expired");
  const second = await bridge.peer();
  assert.equal((await second.next("authenticate")).token, "token-2");
  second.show((await second.next("subscribe")).sub, "a");
  await window.ready;
  second.close(4501, "expired"); // one refusal in a row
  const third = await bridge.peer();
  assert.equal((await third.next("authenticate")).token, "token-3");
  third.close(4501, "you are out");
  await until(() => window.status === "failed");
  assert.deepEqual([window.error.code, window.error.message, asked, bridge.count], ["UNAUTHENTICATED", "you are out", 3, 3]);
});

test("a token that expires is replaced in place", async (t) => {
  let asked = 0;
  const { peer, sub, window } = await shown(t, { token: () => `token-${++asked}` });
  await peer.next("authenticate");
  peer.send({ type: "authenticated", expires_at: "2030-01-01T00:00:00Z" });
  peer.send({ type: "auth_expiring", expires_at: "2030-01-01T00:00:00Z" });
  assert.equal((await peer.next("authenticate")).token, "token-2");
  peer.send({ type: "frames", sub, pos: "3", frames: [enter("c", 2)] });
  await until(() => ids(window) === "a b c");
});

test("a page that can't get a token is told so, and tries again", async (t) => {
  let asked = 0;
  const token = () => (++asked < 3 ? Promise.reject(new Error("offline")) : "yes");
  const { bridge, client } = await start(t, { token });
  const window = client.live(QUERY);
  await until(() => window.error?.message === "no token: offline");
  assert.equal(window.status, "reconnecting");
  const peer = await bridge.peer();
  assert.equal((await peer.next("authenticate")).token, "yes");
});

test("a socket that says nothing is asked, and dropped if it does not answer", async (t) => {
  const { bridge, window, peer } = await shown(t);
  peer.socket.removeAllListeners("message"); // it lives, and answers nothing
  const now = Date.now;
  t.mock.method(Date, "now", () => now() + 60_000); // as after a sleep
  const again = await bridge.peer(); // 5 s for the tick to see it, 5 s for the answer
  t.mock.restoreAll();
  again.show((await again.next("subscribe")).sub, "a");
  await until(() => ids(window) === "a");
});

test("the window of an earlier visit is shown at once, and gone on from", async (t) => {
  const { bridge, client } = await start(t);
  const initial = JSON.parse(JSON.stringify({ rows: [enter("a", 0), enter("b", 1)], pos: "p" }));
  const window = client.live(QUERY, { initial });
  assert.deepEqual([ids(window), window.status], ["a b", "connecting"]);
  assert.ok(Object.isFrozen(window.rows[0]));
  const before = window.rows;
  const peer = await bridge.peer();
  const { sub, resume, known } = await peer.next("subscribe");
  assert.deepEqual([resume, known], ["p", [["a", 1], ["b", 1]]]);
  peer.send({ type: "ready", sub, rows: 2, resumed: "replay", digest: digest("a", "b") });
  await window.ready;
  assert.equal(window.rows, before);
});

test("an initial window that is none is passed over", async (t) => {
  const { client } = await start(t);
  for (const initial of [null, {}, { rows: 7 }, { rows: [null] }, "x"]) {
    assert.equal(client.live(QUERY, { initial }).status, "connecting");
  }
});

test("close() ends all, once; a client that is closed gives ended windows", async (t) => {
  const { bridge, client, window, peer } = await shown(t);
  const gone = new Promise((resolve) => peer.socket.on("close", resolve));
  client.close();
  client.close();
  await gone;
  assert.deepEqual([window.status, ids(window), client.state], ["ended", "a b", "closed"]);
  assert.equal(client.live(QUERY).status, "ended");
  assert.equal(client.list({ entity: "e" }, { page: 2 }).status, "ended");
  await assert.rejects(window.reanchor({ limit: 2 }), { code: "CANCELLED" });
  assert.equal(bridge.count, 1);
});

test("a server without the protocol is not spoken to", async (t) => {
  const { client, bridge } = await start(t, {
    WebSocket: class extends WebSocket {
      get protocol() {
        return "";
      }
    },
  });
  const window = client.live(QUERY);
  await until(() => /livequery\.v1/.test(window.error?.message ?? ""));
  const peer = await bridge.peer();
  assert.deepEqual(peer.said, []);
});
