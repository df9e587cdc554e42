// Event streams, polls, and the choice between them, before a bridge that says what the test says.

import assert from "node:assert/strict";
import test from "node:test";

import { EventSource } from "eventsource";
import { WebSocket } from "ws";

import { EventParser } from "../src/event-parser.js";
import { LiveClient } from "../src/livequery.js";
import { until } from "./house.mjs";
import { digest, enter, ids, scripted, snapshot } from "./scripted.mjs";

const QUERY = { entity: "things", limit: 10 };
const PROBLEM = { "content-type": "application/problem+json" };

/** @param {any} t @param {(request: any, response: any, body: string) => void} handle */
async function start(t, handle, options = {}) {
  t.mock.method(Math, "random", () => 0.05);
  const warn = t.mock.method(console, "warn", () => {});
  const bridge = await scripted(handle);
  const client = new LiveClient(bridge.base, { transport: "sse", ...options });
  t.after(async () => {
    client.close();
    await bridge.stop();
  });
  return { bridge, client, warn };
}

const event = (name, data, id) => `${id ? `id: ${id}\n` : ""}event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
const frames = (all, id) => all.map((frame, at) => event(frame.op, frame, at === all.length - 1 && id)).join("");
const window = (...rows) =>
  frames(snapshot(...rows), `p-${rows.join("")}`) +
  event("ready", { type: "ready", rows: rows.length, resumed: "snapshot", digest: digest(...rows) });
const begin = (response) => response.writeHead(200, { "content-type": "text/event-stream" });
const json = (response, body) => response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body));
const whole = (...rows) => ({
  rows: rows.map((id) => ({ agg_id: id, version: 1, row: { id }, cursor: { values: [id] } })),
  pos: `p-${rows.join("")}`,
  digest: digest(...rows),
  stale: false,
});

test("an event stream is parsed as the standard has it, wherever it is cut", () => {
  const text = ": hello\r\nid: 7\r\nevent: a\rdata: one\ndata:two\n\nevent: nothing\n\ndata\n\nid\ndata:  x: y\n\n";
  const want = [["a", "one\ntwo", "7"], ["message", "", undefined], ["message", " x: y", ""]];
  for (let size = 1; size < text.length; size++) {
    const got = [];
    const parser = new EventParser((...all) => got.push(all));
    for (let at = 0; at < text.length; at += size) parser.push(text.slice(at, at + size));
    assert.deepEqual(got, want, `pieces of ${size}`);
  }
});

test("a stream shows its window once it is whole, and groups as a whole", async (t) => {
  let stream;
  const { bridge, client } = await start(t, (_, response) => (stream = begin(response)));
  const live = client.live(QUERY);
  await until(() => stream !== undefined);
  const { searchParams } = bridge.requests[0].url;
  assert.deepEqual([searchParams.get("v"), JSON.parse(searchParams.get("query"))], ["1", QUERY]);
  stream.write(window("a", "b").slice(0, -20));
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.equal(live.rows.length, 0);
  stream.write(window("a", "b").slice(-20));
  await live.ready;
  let calls = 0;
  live.subscribe(() => calls++);
  stream.write(frames([{ op: "leave", agg_id: "a" }, enter("c", 1)], "p2"));
  await until(() => ids(live) === "b c");
  assert.equal(calls, 1);
});

test("a stream that is cut comes back with its place; half a group is dropped", async (t) => {
  const streams = [];
  const { bridge, client } = await start(t, (_, response) => streams.push(begin(response)));
  const live = client.live(QUERY);
  await until(() => streams.length === 1);
  streams[0].write(window("a", "b") + frames([{ op: "leave", agg_id: "a" }], undefined));
  await live.ready;
  streams[0].destroy();
  await until(() => streams.length === 2);
  assert.equal(bridge.requests[1].url.searchParams.get("last_event_id"), "p-ab");
  streams[1].write(frames([enter("c", 2)], "p3") + event("ready", { rows: 3, resumed: "replay", digest: digest("a", "b", "c") }));
  await until(() => live.status === "live");
  assert.equal(ids(live), "a b c");
});

for (const [what, text] of [
  ["a wrong digest", event("beat", { type: "beat", digest: "00000000" })],
  ["no JSON", "event: enter\ndata: {\n\n"],
  ["half a group before ready", frames([enter("z", 0)]) + event("ready", { rows: 2, digest: digest("a", "b") })],
]) {
  test(`${what} on a stream: opened anew, the rows stay`, async (t) => {
    const streams = [];
    const { client } = await start(t, (_, response) => streams.push(begin(response)));
    const live = client.live(QUERY);
    await until(() => streams.length === 1);
    streams[0].write(window("a", "b"));
    await live.ready;
    streams[0].write(text);
    await until(() => streams.length === 2);
    assert.equal(ids(live), "a b");
    streams[1].write(window("a", "c"));
    await until(() => ids(live) === "a c" && live.status === "live");
  });
}

test("a refusal fails with what the problem says; a passing one is tried after Retry-After", async (t) => {
  let answers = 0;
  const { client } = await start(t, (request, response) => {
    if (/nope/.test(request.url)) {
      const body = { status: 404, code: "NOT_FOUND", detail: "no such", field: "entity", retryable: false };
      response.writeHead(404, PROBLEM).end(JSON.stringify(body));
    } else if (answers++ === 0) response.writeHead(503, { ...PROBLEM, "retry-after": "1" }).end('{"detail": "busy"}');
    else begin(response).write(window("a"));
  });
  await assert.rejects(client.live({ entity: "nope", limit: 1 }).ready, { code: "NOT_FOUND", field: "entity", message: "no such" });
  const began = Date.now();
  const live = client.live(QUERY);
  await live.ready;
  assert.ok(Date.now() - began >= 1000);
});

test("a page of HTML with status 200 is no stream: no rows, no failure, back-off", async (t) => {
  const { bridge, client } = await start(t, (_, response) => response.writeHead(200, { "content-type": "text/html" }).end("<p>Wi-Fi"));
  const live = client.live(QUERY);
  await until(() => bridge.requests.length >= 4);
  assert.deepEqual([live.rows.length, live.status, live.error.retryable], [0, "reconnecting", true]);
});

test("the token is a header; 401 asks for another once, then fails", async (t) => {
  let asked = 0;
  const { bridge, client } = await start(t, (_, response) => response.writeHead(401, PROBLEM).end("{}"), {
    token: () => `t${++asked}`,
  });
  await assert.rejects(client.live(QUERY).ready, { code: "UNAUTHENTICATED", status: 401 });
  assert.deepEqual(bridge.requests.map(({ headers }) => headers.authorization), ["Bearer t1", "Bearer t2"]);
});

test("three streams of one client that are refused together ask for one new token", async (t) => {
  let asked = 0;
  const { client } = await start(t, (request, response) => {
    if (request.headers.authorization === "Bearer t1") response.writeHead(401, PROBLEM).end("{}");
    else begin(response).write(window("a"));
  }, { token: () => `t${++asked}` });
  await Promise.all(["x", "y", "z"].map((entity) => client.live({ entity, limit: 1 }).ready));
  assert.equal(asked, 2);
});

test("at most three queries have streams, the rest poll", async (t) => {
  const { bridge, client } = await start(t, (request, response) => {
    if (!request.url.includes("/window")) begin(response).write(window("a"));
    else if (request.url.includes("wait=")) setTimeout(() => response.writeHead(304).end(), 1000);
    else json(response, whole("a"));
  });
  const all = ["a", "b", "c", "d", "e"].map((entity) => client.live({ entity, limit: 1 }));
  await Promise.all(all.map(({ ready }) => ready));
  const streams = bridge.requests.filter(({ url }) => url.pathname === "/live");
  assert.equal(streams.length, 3);
  assert.ok(all.every((live) => live.status === "live" && ids(live) === "a"));
});

test("a poll waits at the bridge for what follows its place", async (t) => {
  const waiting = [];
  const { bridge, client } = await start(t, (request, response) => {
    if (request.url.includes("wait=")) waiting.push(response);
    else json(response, whole("a", "b"));
  }, { transport: "poll" });
  const live = client.live(QUERY);
  await live.ready;
  await until(() => waiting.length === 1);
  const { searchParams } = bridge.requests[1].url;
  assert.deepEqual([searchParams.get("since"), searchParams.get("wait")], ["p-ab", "25"]);
  const [a] = live.rows;
  json(waiting[0], { frames: [enter("c", 2)], pos: "p3", digest: digest("a", "b", "c"), stale: true, resumed: "replay" });
  await until(() => ids(live) === "a b c");
  assert.deepEqual([live.rows[0] === a, live.status], [true, "stale"]);
});

test("after a failure a poll offers its window; a wrong digest offers nothing", async (t) => {
  const answers = [
    (response) => json(response, whole("a", "b")),
    (response) => response.writeHead(502).end(),
    (response) => json(response, { frames: [enter("c", 2)], pos: "p3", digest: digest("a", "b", "c"), stale: false }),
    (response) => json(response, { frames: [enter("d", 3)], pos: "p4", digest: "00000000", stale: false }),
    (response) => json(response, whole("x")),
  ];
  const { bridge, client, warn } = await start(t, (_, response) => answers.shift()?.(response), { transport: "poll" });
  const live = client.live(QUERY);
  const seen = [];
  live.subscribe(() => seen.push(ids(live)));
  await until(() => ids(live) === "x");
  assert.deepEqual(JSON.parse(bridge.requests[2].body), { query: QUERY, since: "p-ab", known: [["a", 1], ["b", 1]] });
  assert.equal(bridge.requests[4].method, "GET");
  assert.equal(bridge.requests[4].url.searchParams.get("since"), null);
  assert.ok(!seen.join().includes("d"));
  assert.equal(warn.mock.callCount(), 1);
});

test("a bridge that answers a waiting poll at once, with nothing, is not asked in a busy loop", async (t) => {
  const { bridge, client } = await start(t, (request, response) => {
    if (request.url.includes("wait=")) response.writeHead(304).end();
    else json(response, whole("a"));
  }, { transport: "poll" });
  await client.live(QUERY).ready;
  await new Promise((resolve) => setTimeout(resolve, 1500));
  assert.ok(bridge.requests.length <= 4, `${bridge.requests.length} requests`);
});

test("auto: no WebSocket opens, so streams; what the bridge says is exact", async (t) => {
  const { bridge, client } = await start(t, (request, response) => begin(response).write(window("a")), {
    transport: "auto",
    WebSocket: class extends WebSocket {
      constructor(url, ...rest) {
        super(url.replace("/ws", "/nothing"), ...rest);
      }
    },
  });
  const live = client.live(QUERY);
  await live.ready;
  assert.deepEqual([live.status, client.state, bridge.requests.length], ["live", "open", 1]);
});

test("auto: three WebSockets that are cut early, so streams", async (t) => {
  const { bridge, client } = await start(t, (request, response) => begin(response).write(window("a")), { transport: "auto", WebSocket });
  const live = client.live(QUERY);
  for (let i = 0; i < 3; i++) (await bridge.peer()).cut();
  await live.ready;
  assert.equal(bridge.count, 3);
});

test("auto: streams that are held back for 3 s, so polls", async (t) => {
  const { bridge, client } = await start(t, (request, response) => {
    if (request.url.includes("wait=")) return;
    if (request.url.includes("/window")) json(response, whole("a"));
    else begin(response).flushHeaders(); // a proxy that buffers the body
  }, { transport: "auto", WebSocket: undefined });
  const began = Date.now();
  const live = client.live(QUERY);
  await live.ready;
  assert.ok(Date.now() - began >= 2900);
  assert.equal(bridge.requests[0].url.pathname, "/live");
});

test("auto: three streams that are cut early, so polls", async (t) => {
  let cut = 0;
  const { client } = await start(t, (request, response) => {
    if (request.url.includes("wait=")) return;
    if (request.url.includes("/window")) return json(response, whole("a"));
    cut++;
    begin(response).end(": ping\n\n");
  }, { transport: "auto", WebSocket: undefined });
  await client.live(QUERY).ready;
  assert.equal(cut, 3);
});

test("auto: a bridge that is down is no reason to give up WebSockets", async (t) => {
  const { bridge, client } = await start(t, (_, response) => response.writeHead(404).end(), { transport: "auto", WebSocket });
  const live = client.live(QUERY);
  const peer = await bridge.peer();
  peer.show((await peer.next("subscribe")).sub, "a");
  await live.ready;
  for (let i = 0; i < 4; i++) {
    peer.cut();
    const again = await bridge.peer();
    again.show((await again.next("subscribe")).sub, "a");
    await until(() => live.status === "live");
    again.cut();
    await until(() => live.status !== "live");
    const third = await bridge.peer();
    third.show((await third.next("subscribe")).sub, "a");
    await until(() => live.status === "live");
    break;
  }
  assert.equal(bridge.requests.length, 0);
});

test("EventSource, where it is given: a ticket in the URL, groups by their id", async (t) => {
  const streams = [];
  const { bridge, client } = await start(t, (request, response) => {
    if (request.url.endsWith("/ticket")) return json(response, { ticket: "T1", expires_at: "" });
    streams.push(begin(response));
  }, { EventSource, token: () => "secret" });
  const live = client.live(QUERY);
  await until(() => streams.length === 1);
  assert.deepEqual([bridge.requests[0].method, bridge.requests[0].headers.authorization], ["POST", "Bearer secret"]);
  const { searchParams } = bridge.requests[1].url;
  assert.deepEqual([searchParams.get("ticket"), searchParams.get("soft"), searchParams.get("v")], ["T1", "1", "1"]);
  streams[0].write(window("a", "b"));
  await live.ready;
  streams[0].write(frames([{ op: "leave", agg_id: "a" }, enter("c", 1)], "p2"));
  await until(() => ids(live) === "b c");
  streams[0].end();
  await until(() => streams.length === 2);
  assert.equal(bridge.requests.at(-1).url.searchParams.get("last_event_id"), "p2");
});

test("EventSource hides why it was refused; a plain request tells", async (t) => {
  const { client } = await start(t, (request, response) =>
    response.writeHead(404, PROBLEM).end(JSON.stringify({ code: "NOT_FOUND", detail: "no such" })), { EventSource });
  await assert.rejects(client.live(QUERY).ready, { code: "NOT_FOUND", message: "no such" });
});

test("fetch: one request; rows, pos, digest; errors with their fields; AbortError on abort", async (t) => {
  const { bridge, client } = await start(t, (request, response) => {
    if (/nope/.test(request.url)) return response.writeHead(400, PROBLEM).end(JSON.stringify({ code: "INVALID_ARGUMENT", detail: "bad", field: "limit", retryable: false }));
    if (/slow/.test(request.url)) return;
    if (/wrong/.test(request.url)) return json(response, { ...whole("a"), digest: "00000000" });
    if (/html/.test(request.url)) return response.writeHead(200, { "content-type": "text/html" }).end("<p>");
    if (/half/.test(request.url)) return response.writeHead(200, { "content-type": "application/json" }).end('{"rows": [');
    json(response, whole("a", "b"));
  });
  const got = await client.fetch(QUERY);
  assert.deepEqual([Object.keys(got), ids(got), got.pos, bridge.requests.length], [["rows", "pos", "digest"], "a b", "p-ab", 1]);
  await assert.rejects(client.fetch({ entity: "nope" }), { name: "LiveError", code: "INVALID_ARGUMENT", status: 400, message: "bad", field: "limit", retryable: false });
  for (const entity of ["wrong", "html", "half"]) await assert.rejects(client.fetch({ entity }), { name: "LiveError", retryable: true });
  const abort = new AbortController();
  const slow = client.fetch({ entity: "slow" }, { signal: abort.signal });
  setTimeout(() => abort.abort(), 20);
  await assert.rejects(slow, { name: "AbortError" });
  await assert.rejects(client.fetch(QUERY, { signal: AbortSignal.abort() }), { name: "AbortError" });
});

test("fetch that is aborted while the page still waits for its token ends with AbortError", { timeout: 30_000 }, async (t) => {
  const { bridge, client } = await start(t, () => {}, { token: () => new Promise(() => {}) });
  const abort = new AbortController();
  const asked = client.fetch(QUERY, { signal: abort.signal });
  setTimeout(() => abort.abort(), 20);
  await assert.rejects(asked, { name: "AbortError" });
  assert.equal(bridge.requests.length, 0);
});

test("a long query goes into a body", async (t) => {
  const { bridge, client } = await start(t, (_, response) => json(response, whole("a")));
  const query = { entity: "e", where: [["id", "in", Array.from({ length: 500 }, (_, n) => `id-${n}`)]], limit: 3 };
  await client.fetch(query);
  assert.equal(bridge.requests[0].method, "POST");
  assert.equal(JSON.parse(bridge.requests[0].body).where[0].value.length, 500);
});
