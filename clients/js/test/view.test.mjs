// What users of a window see: snapshots, listeners, iterators, ready.

import assert from "node:assert/strict";
import test from "node:test";

import { failure } from "../src/error.js";
import { LiveView, publish } from "../src/view.js";

const rows = (...ids) => Object.freeze(ids.map((agg_id) => ({ agg_id })));
const view = () => new LiveView(() => {});

test("the snapshot is the same object until something changes", () => {
  const one = view();
  const first = one.getSnapshot();
  publish(one, { status: "connecting" });
  assert.equal(one.getSnapshot(), first);
  publish(one, { rows: rows("a"), status: "live", whole: true });
  assert.notEqual(one.getSnapshot(), first);
  assert.deepEqual(one.getSnapshot(), { rows: one.rows, status: "live", error: null });
});

test("listeners are called once per change, never for none, and not while they subscribe", () => {
  const one = view();
  let calls = 0;
  const stop = one.subscribe(() => calls++);
  assert.equal(calls, 0);
  const some = rows("a");
  publish(one, { rows: some, status: "live", error: null });
  publish(one, { rows: some });
  assert.equal(calls, 1);
  stop();
  publish(one, { rows: rows("b") });
  assert.equal(calls, 1);
});

test("a function that subscribes twice is called twice, and one that was unsubscribed meanwhile is not", () => {
  const one = view();
  const said = [];
  const twice = () => said.push("twice");
  one.subscribe(twice);
  const stop = one.subscribe(twice);
  one.subscribe(() => stopLast());
  const stopLast = one.subscribe(() => said.push("last"));
  publish(one, { rows: rows("a") });
  stop();
  publish(one, { rows: rows("b") });
  assert.deepEqual(said, ["twice", "twice", "twice"]);
});

test("a listener that throws harms nobody", (t) => {
  const error = t.mock.method(console, "error", () => {});
  const one = view();
  let called = false;
  one.subscribe(() => {
    throw new Error("mine");
  });
  one.subscribe(() => (called = true));
  publish(one, { rows: rows("a") });
  assert.ok(called);
  assert.equal(error.mock.callCount(), 1);
});

test("after close() rows stay, the status is ended, nothing is called, iterators end", async () => {
  let released = 0;
  const one = new LiveView(() => released++);
  publish(one, { rows: rows("a"), status: "live", whole: true });
  let calls = 0;
  one.subscribe(() => calls++);
  const iterator = one[Symbol.asyncIterator]();
  await iterator.next();
  const waiting = iterator.next();
  one.close();
  one.close();
  publish(one, { rows: rows("b"), status: "live" });
  assert.deepEqual([one.rows[0].agg_id, one.status, calls, released], ["a", "ended", 0, 1]);
  assert.deepEqual(await waiting, { value: undefined, done: true });
  assert.deepEqual(await iterator.next(), { value: undefined, done: true });
});

test("ready waits for the first whole window; one that fails before rejects with its error", async () => {
  const good = view();
  publish(good, { rows: rows("a") });
  let ready = false;
  good.ready.then(() => (ready = true));
  await null;
  assert.ok(!ready);
  publish(good, { status: "live", whole: true });
  await good.ready;
  const bad = view();
  const error = failure(404, { message: "no such entity", code: "NOT_FOUND" });
  publish(bad, { status: "failed", error });
  await assert.rejects(bad.ready, (thrown) => thrown === error && thrown === bad.error);
  const shut = view();
  shut.close();
  await assert.rejects(shut.ready, { code: "CANCELLED" });
});

test("an iterator yields the rows when they are whole and after each group; of several, the latest", async () => {
  const one = view();
  const iterator = one[Symbol.asyncIterator]();
  const first = iterator.next();
  publish(one, { rows: rows("old") }); // kept from earlier: not the bridge's word yet
  publish(one, { rows: rows("a"), status: "live", whole: true });
  assert.equal((await first).value[0].agg_id, "a");
  publish(one, { rows: rows("b") });
  publish(one, { rows: rows("c") });
  assert.equal((await iterator.next()).value[0].agg_id, "c");
  const hanging = iterator.next();
  assert.deepEqual(await iterator.return(), { value: undefined, done: true });
  assert.deepEqual(await hanging, { value: undefined, done: true });
});

test("an iterator throws the error of a window that fails", async () => {
  const one = view();
  const iterator = one[Symbol.asyncIterator]();
  const next = iterator.next();
  publish(one, { status: "failed", error: failure(403) });
  await assert.rejects(next, { code: "PERMISSION_DENIED" });
});
