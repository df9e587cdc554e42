// A live query over fake transports and a hand-turned clock: when rows are shown, and what happens
// when the connection breaks.

import assert from "node:assert/strict";
import test from "node:test";

import { liveQuery } from "../../../bridge/web/pages/static/livequery.js";

class FakeEventSource extends EventTarget {
  readyState = 0;
  constructor(url) {
    super();
    this.url = url;
    made.push(this);
  }
  frame(frame) {
    this.dispatchEvent(Object.assign(new Event(frame.op), { data: JSON.stringify(frame) }));
  }
  breaks(readyState) {
    this.readyState = readyState;
    this.dispatchEvent(new Event("error"));
  }
  close() {
    this.readyState = 2;
  }
}

class FakeWebSocket {
  readyState = 0;
  sent = [];
  constructor(url) {
    this.url = url;
    made.push(this);
  }
  opens() {
    this.readyState = 1;
    this.onopen({});
  }
  send(text) {
    this.sent.push(JSON.parse(text));
  }
  frame(frame) {
    this.onmessage({ data: JSON.stringify(frame) });
  }
  breaks(code, reason = "") {
    this.readyState = 3;
    this.onclose({ code, reason });
  }
  close() {
    this.readyState = 2;
  }
}

const made = [];

/** A live query and the world it runs in. tick(ms) lets time pass; paint() is an animation frame. */
function start({ limit = 2, transport = "sse", random = 0.5, answer, query: more } = {}) {
  made.length = 0;
  let now = 0;
  let serial = 0;
  const timers = new Map();
  const paints = new Map();
  const env = {
    EventSource: FakeEventSource,
    WebSocket: FakeWebSocket,
    location: { href: "https://bridge.example/explorer/" },
    Math: { random: () => random },
    performance: { now: () => now },
    setTimeout: (run, ms) => (timers.set(++serial, { run, at: now + ms }), serial),
    clearTimeout: (id) => timers.delete(id),
    requestAnimationFrame: (run) => (paints.set(++serial, run), serial),
    cancelAnimationFrame: (id) => paints.delete(id),
    fetch: async (url) => (env.asked = url, answer()),
  };
  const seen = { rows: [], states: [], frames: 0 };
  const query = { entity: "flights", sort: [{ column: "t" }], limit, ...more };
  const handle = liveQuery(query, {
    base: "/api/v1/live",
    transport,
    env,
    onChange: (rows, frames) => {
      seen.rows.push(rows.map(({ agg_id }) => agg_id).join(" "));
      seen.frames += frames.length;
    },
    onState: (state, detail) => seen.states.push([state, detail]),
  });
  const tick = (ms) => {
    now += ms;
    for (const [id, { run, at }] of [...timers]) if (at <= now && timers.delete(id)) run();
  };
  const paint = () => {
    for (const [id, run] of [...paints]) if (paints.delete(id)) run();
  };
  const link = () => made.at(-1);
  const states = () => seen.states.map(([state]) => state);
  return { handle, seen, states, tick, paint, link, env, idle: () => timers.size + paints.size === 0 };
}

const reset = { op: "reset" };
const enter = (agg_id, new_index, stream_id) => ({ op: "enter", agg_id, old_index: -1, new_index, stream_id });
const snapshot = (link, ...ids) => [reset, ...ids.map((id, i) => enter(id, i))].forEach((f) => link.frame(f));
const settled = () => new Promise(setImmediate);

test("the query is in the URL of the event source, which asks for soft failures", () => {
  const { link } = start();
  const url = new URL(link().url, "https://bridge.example");
  assert.equal(url.pathname, "/api/v1/live");
  assert.equal(url.searchParams.get("soft"), "1");
  assert.equal(JSON.parse(url.searchParams.get("query")).entity, "flights");
});

test("a full snapshot is shown at the next animation frame, once, and only then is it live", () => {
  const { link, seen, states, paint } = start();
  snapshot(link(), "a", "b");
  assert.deepEqual(seen.rows, []);
  assert.deepEqual(states(), ["connecting"]);
  paint();
  assert.deepEqual(seen.rows, ["a b"]);
  assert.equal(seen.frames, 3);
  assert.deepEqual(states(), ["connecting", "live"]);
});

test("a snapshot short of its limit is shown when nothing more comes", () => {
  const { link, seen, tick, paint } = start({ limit: 9 });
  snapshot(link(), "a", "b");
  paint();
  tick(60);
  link().frame(enter("c", 2));
  tick(60);
  assert.deepEqual(seen.rows, [], "each frame puts the end off");
  tick(60);
  assert.deepEqual(seen.rows, ["a b c"]);
});

test("the frames of a group are shown together", () => {
  const { link, seen, paint } = start();
  snapshot(link(), "a", "b");
  paint();
  link().frame(enter("c", 0, "5-0"));
  link().frame({ op: "leave", agg_id: "b", old_index: 2, new_index: -1, stream_id: "5-0" });
  paint();
  assert.deepEqual(seen.rows, ["a b", "c a"]);
});

test("should a group be torn apart, the row over the limit is not shown", () => {
  const { link, seen, paint } = start();
  snapshot(link(), "a", "b");
  paint();
  link().frame(enter("c", 0, "5-0"));
  paint();
  assert.deepEqual(seen.rows.at(-1), "c a");
});

test("in a hidden tab, where there are no animation frames, a timer shows the rows", () => {
  const { link, seen, tick, idle } = start();
  snapshot(link(), "a", "b");
  tick(250);
  assert.deepEqual(seen.rows, ["a b"]);
  assert.ok(idle());
});

test("the old rows stay through a reconnect until the new snapshot is whole: no blank", () => {
  const { link, seen, states, paint } = start();
  snapshot(link(), "a", "b");
  paint();
  link().breaks(0);
  link().frame(reset);
  paint();
  link().frame(enter("c", 0));
  paint();
  link().frame(enter("b", 1));
  paint();
  assert.ok(!seen.rows.includes(""));
  assert.equal(seen.rows.at(-1), "c b");
  assert.deepEqual(states(), ["connecting", "live", "reconnecting", "live"]);
});

test("a break in the middle of a snapshot leaves the old rows, and the next snapshot replaces them", () => {
  const { link, seen, tick, paint } = start();
  snapshot(link(), "a", "b");
  paint();
  snapshot(link(), "x");
  link().breaks(0);
  tick(1000);
  paint();
  assert.equal(seen.rows.at(-1), "a b");
  snapshot(link(), "y", "z");
  paint();
  assert.equal(seen.rows.at(-1), "y z");
});

test("rows that came in whole before the break are shown, but nothing is called live", () => {
  const { link, seen, states } = start();
  snapshot(link(), "a", "b");
  link().breaks(0);
  assert.deepEqual(seen.rows, ["a b"]);
  assert.deepEqual(states(), ["connecting", "reconnecting"]);
});

test("a short snapshot right behind live frames is still shown", () => {
  const { link, seen, tick, paint } = start({ limit: 9 });
  snapshot(link(), "a", "b");
  tick(100);
  link().frame(enter("c", 0, "5-0"));
  snapshot(link(), "x");
  paint();
  assert.equal(seen.rows.at(-1), "c a b");
  tick(100);
  assert.equal(seen.rows.at(-1), "x");
});

test("a resume continues on the rows held, without a reset", () => {
  const { link, seen, states, paint } = start();
  snapshot(link(), "a", "b");
  paint();
  link().frame(enter("c", 0, "5-0"));
  link().breaks(0);
  link().frame(enter("c", 0, "5-0")); // the group is replayed from its start
  link().frame({ op: "leave", agg_id: "b", stream_id: "5-0" });
  paint();
  assert.equal(seen.rows.at(-1), "c a");
  assert.equal(states().at(-1), "live");
});

test("an event source that gave up is asked why; a refusal is final and says what is wrong", async () => {
  const json = async () => ({ detail: "where[0].op: unknown operator" });
  const { link, seen, env, idle } = start({ answer: () => ({ ok: false, status: 400, json }) });
  link().breaks(2);
  await settled();
  assert.equal(env.asked, link().url);
  assert.deepEqual(seen.states.at(-1), ["failed", { reason: "where[0].op: unknown operator", code: 400 }]);
  assert.ok(idle());
});

for (const status of [429, 500, 502, 503, 504, 200]) {
  test(`an event source that gave up over ${status} is opened again`, async () => {
    const answer = () => ({ ok: status === 200, status, json: async () => ({ title: "busy" }) });
    const { link, states, tick, paint } = start({ answer });
    const first = link();
    first.breaks(2);
    await settled();
    assert.equal(states().at(-1), "reconnecting");
    tick(500);
    assert.notEqual(link(), first);
    snapshot(link(), "a", "b");
    paint();
    assert.equal(states().at(-1), "live");
  });
}

test("a WebSocket subscribes as its first message", () => {
  const { link } = start({ transport: "ws" });
  assert.equal(link().url, "wss://bridge.example/api/v1/live/ws");
  link().opens();
  assert.equal(link().sent[0].action, "subscribe");
  assert.equal(link().sent[0].query.limit, 2);
});

for (const code of [1001, 1006, 1011, 1012, 1013, 4000, 4002, 4005]) {
  test(`close code ${code}: the WebSocket comes back`, () => {
    const { link, states, tick } = start({ transport: "ws" });
    const first = link();
    first.opens();
    first.breaks(code, "draining");
    assert.equal(states().at(-1), "reconnecting");
    tick(250);
    assert.notEqual(link(), first);
  });
}

for (const code of [4500, 4504, 4513, 1009]) {
  test(`close code ${code}: the WebSocket stays away and says why`, () => {
    const { link, seen, idle } = start({ transport: "ws" });
    link().opens();
    link().breaks(code, "unknown entity");
    assert.deepEqual(seen.states.at(-1), ["failed", { reason: "unknown entity", code }]);
    assert.ok(idle());
  });
}

test("a stream the tier has ended for good is ended, not failed", () => {
  const { link, states } = start({ transport: "ws" });
  link().opens();
  link().breaks(1000);
  assert.equal(states().at(-1), "ended");
});

test("the back-off doubles from 0.5 s to 15 s, with full jitter, and starts anew after a good spell", () => {
  const { link, seen, tick, paint } = start({ transport: "ws", random: 1 });
  const waits = [];
  for (let i = 0; i < 7; i++) {
    link().breaks(1013);
    const { retryIn } = seen.states.at(-1)[1];
    waits.push(retryIn);
    tick(retryIn);
  }
  assert.deepEqual(waits, [500, 1000, 2000, 4000, 8000, 15000, 15000]);
  link().opens();
  snapshot(link(), "a", "b");
  paint();
  tick(6000);
  link().breaks(1013);
  assert.equal(seen.states.at(-1)[1].retryIn, 500);
});

test("a connection that keeps dying young does not start the back-off anew", () => {
  const { link, seen, tick, paint } = start({ transport: "ws", random: 1 });
  for (const want of [500, 1000, 2000]) {
    link().opens();
    snapshot(link(), "a", "b");
    paint();
    link().breaks(1006);
    assert.equal(seen.states.at(-1)[1].retryIn, want);
    tick(want);
  }
});

test("an unreadable frame ends the connection: to go on would be a silent gap", () => {
  const { link, seen, states, tick, paint } = start({ transport: "ws" });
  const first = link();
  first.opens();
  first.onmessage({ data: "{" });
  assert.equal(states().at(-1), "reconnecting");
  snapshot(first, "a", "b"); // what a dropped socket still delivers is not heard
  paint();
  assert.deepEqual(seen.rows, []);
  tick(500);
  assert.notEqual(link(), first);
});

test("a WebSocket reanchors in place, and a later reconnect subscribes at the new anchor", () => {
  const { handle, link, seen, tick, paint } = start({ transport: "ws" });
  link().opens();
  snapshot(link(), "a", "b");
  paint();
  handle.reanchor({ cursor: { values: ["t", "b"] }, limit: 3 });
  assert.deepEqual(link().sent[1], { action: "reanchor", cursor: { values: ["t", "b"] }, limit: 3 });
  snapshot(link(), "c", "d", "e");
  paint();
  assert.equal(seen.rows.at(-1), "c d e");
  link().breaks(1006);
  tick(500);
  link().opens();
  assert.deepEqual(link().sent[0].query.cursor, { values: ["t", "b"] });
  assert.equal(link().sent[0].query.limit, 3);
});

test("an event source reanchors by opening anew, the old rows staying meanwhile", () => {
  const { handle, link, seen, paint } = start();
  snapshot(link(), "a", "b");
  paint();
  const first = link();
  handle.reanchor({ cursor: { values: ["t", "b"] } });
  assert.equal(first.readyState, 2);
  assert.match(decodeURIComponent(link().url), /"cursor":\{"values":\["t","b"\]\}/);
  snapshot(link(), "c", "d");
  paint();
  assert.deepEqual(seen.rows, ["a b", "c d"]);
});

test("streamed mode has no bound: matches beyond the limit are kept", () => {
  const { link, seen, tick, paint } = start({ query: { mode: 1 } });
  snapshot(link(), "a", "b");
  tick(100);
  link().frame({ op: "match", agg_id: "c", stream_id: "1-0", old_index: 0, new_index: 0 });
  paint();
  assert.equal(seen.rows.at(-1), "a b c");
});

test("after close() nothing is called and nothing is left running", () => {
  for (const transport of ["sse", "ws"]) {
    const { handle, link, seen, tick, paint, idle } = start({ transport });
    if (transport === "ws") link().opens();
    snapshot(link(), "a", "b");
    handle.close();
    paint();
    tick(60_000);
    assert.deepEqual(seen.rows, []);
    assert.ok(idle());
    assert.equal(link().readyState, 2);
  }
});
