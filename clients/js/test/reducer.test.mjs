// The reducer and the snapshot swap, against recorded runs of the original engine.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import { LiveWindow, applyFrame, applyGroup, mayReturn } from "../../../bridge/web/pages/static/livequery.js";

const VECTORS = new URL("../../../tests/vectors/engine_traces.jsonl", import.meta.url);

/** {trace: {limit, steps}}; the limit of a step is the one in force after it. */
function traces() {
  const all = new Map();
  for (const line of readFileSync(VECTORS, "utf8").split("\n").filter(Boolean)) {
    const { trace, kind, query, limit, deltas, engine_window, splice_ok } = JSON.parse(line);
    if (kind === "config") {
      all.set(trace, { limit: query.Limit, steps: [] });
      continue;
    }
    const one = all.get(trace);
    if (limit) one.limit = limit;
    one.steps.push({ limit: one.limit, kind, deltas, want: engine_window, splice_ok });
  }
  return all;
}

const shape = (window) => window.map(({ agg_id, version }) => `${agg_id}@${version}`);
const ids = (window) => window.map(({ agg_id }) => agg_id);
const enter = (agg_id, new_index = 0, rest = {}) => ({ op: "enter", agg_id, old_index: -1, new_index, ...rest });

for (const [name, { steps }] of traces()) {
  test(`${name}: id-keyed frames, cut after each group, equal the engine's window at every step`, () => {
    let window = [];
    steps.forEach(({ limit, deltas, want }, i) => {
      window = applyGroup(window, deltas, limit);
      assert.deepEqual(shape(window), want, `step ${i}`);
    });
  });

  test(`${name}: cutting frame by frame, as applyFrame can, lands on the same windows`, () => {
    let window = [];
    steps.forEach(({ limit, deltas, want }, i) => {
      window = deltas.reduce((held, frame) => applyFrame(held, frame, limit), window);
      assert.deepEqual(shape(window), want, `step ${i}`);
    });
  });
}

test("the traces do hold forgotten leaves, which is what the cut is for", () => {
  const broken = [...traces().values()].flatMap(({ steps }) => steps).filter((step) => !step.splice_ok);
  assert.ok(broken.length > 0);
});

// As the bridge sends them: the forgotten leave appended, which is what its guard does.
for (const [name, { steps }] of traces()) {
  test(`${name}: repaired by the bridge, LiveWindow shows the engine's window after every group`, () => {
    const live = new LiveWindow(steps[0].limit);
    let tier = [];
    steps.forEach(({ limit, kind, deltas, want }, i) => {
      const over = applyGroup(tier, deltas).slice(limit);
      tier = applyGroup(tier, deltas, limit);
      const leaves = over.map(({ agg_id }) => ({ op: "leave", agg_id, stream_id: deltas[0].stream_id }));
      live.limit = limit;
      for (const frame of [...deltas, ...leaves]) live.receive(frame);
      if (kind !== "change") live.settle();
      assert.ok(live.whole, `step ${i}`);
      assert.deepEqual(shape(live.take().rows), want, `step ${i}`);
    });
  });
}

test("an unknown op, even one named like a built-in, changes nothing", () => {
  const window = applyFrame([], enter("a"));
  for (const op of ["delta", "constructor", "__proto__", undefined]) {
    assert.equal(applyFrame(window, { op, agg_id: "a" }), window);
  }
});

test("a window is never changed in place, and rows left alone stay the same objects", () => {
  const before = Object.freeze(applyGroup([], [enter("a"), enter("b", 1)]));
  const after = applyFrame(before, { op: "update", agg_id: "b", version: 2, row: { x: 1 }, new_index: 1 });
  assert.equal(after[0], before[0]);
  assert.deepEqual(after[1], { agg_id: "b", version: 2, row: { x: 1 }, cursor: undefined });
});

test("an update of a row that is not there adds none; a match does, and replaces in place", () => {
  const window = applyGroup([], [enter("a"), enter("b", 1)]);
  assert.equal(applyFrame(window, { op: "update", agg_id: "z" }).length, 2);
  assert.deepEqual(ids(applyFrame(window, { op: "match", agg_id: "z" })), ["a", "b", "z"]);
  assert.deepEqual(shape(applyFrame(window, { op: "match", agg_id: "a", version: 9 })), ["a@9", "b@0"]);
  assert.deepEqual(ids(applyFrame(window, { op: "unmatch", agg_id: "a" })), ["b"]);
});

test("an index beyond the end appends, and a second enter moves", () => {
  const window = applyGroup([], [enter("a"), enter("b", 99), enter("a", 1)]);
  assert.deepEqual(ids(window), ["b", "a"]);
});

test("a row whose id is empty, and so left out of the frame, is a row like any other", () => {
  const window = applyFrame([], { op: "enter", old_index: -1, new_index: 0, row: { x: 1 } });
  assert.deepEqual(ids(window), [""]);
  assert.deepEqual(applyFrame(window, { op: "leave", old_index: 0, new_index: -1 }), []);
});

test("a group replayed on top of itself ends in the same window", () => {
  const group = [enter("c", 0, { stream_id: "1-0" }), { op: "leave", agg_id: "b", stream_id: "1-0" }];
  const once = applyGroup(applyGroup([], [enter("a"), enter("b", 1)]), group, 2);
  assert.deepEqual(applyGroup(once, group, 2), once);
});

test("from a reset on, the old rows stay until the snapshot is whole", () => {
  const live = new LiveWindow(2);
  for (const frame of [{ op: "reset" }, enter("a"), enter("b", 1)]) live.receive(frame);
  live.take();
  live.receive({ op: "reset" });
  live.receive(enter("c"));
  assert.equal(live.whole, false);
  assert.deepEqual(ids(live.take().rows), ["a", "b"]);
  live.receive(enter("d", 1));
  assert.equal(live.whole, true, "a full window is whole");
  assert.deepEqual(ids(live.take().rows), ["c", "d"]);
});

test("a short snapshot is whole once a named group follows, or when it is settled", () => {
  const live = new LiveWindow(5);
  for (const frame of [{ op: "reset" }, enter("a")]) live.receive(frame);
  assert.equal(live.whole, false);
  live.receive(enter("b", 1, { stream_id: "7-0" }));
  assert.deepEqual(ids(live.take().rows), ["a", "b"]);
  live.receive({ op: "reset" });
  live.settle();
  assert.deepEqual(live.take().rows, [], "an empty snapshot empties the board");
});

test("half a snapshot is thrown away when the connection breaks", () => {
  const live = new LiveWindow(2);
  for (const frame of [{ op: "reset" }, enter("a"), enter("b", 1)]) live.receive(frame);
  live.take();
  for (const frame of [{ op: "reset" }, enter("x")]) live.receive(frame);
  live.lost();
  assert.deepEqual(ids(live.take().rows), ["a", "b"]);
  live.receive(enter("y", 0, { stream_id: "1-0" }));
  live.receive({ op: "leave", agg_id: "b", stream_id: "1-0" });
  assert.deepEqual(ids(live.take().rows), ["y", "a"]);
});

test("the limit of a reanchor counts from its reset, not before", () => {
  const live = new LiveWindow(3);
  for (const frame of [{ op: "reset" }, enter("a"), enter("b", 1), enter("c", 2)]) live.receive(frame);
  live.limit = 1;
  assert.equal(live.take().rows.length, 3);
  live.receive({ op: "reset" });
  assert.equal(live.take().rows.length, 3);
  live.receive(enter("z"));
  assert.deepEqual(ids(live.take().rows), ["z"]);
});

test("close codes: 44xx and passing ones invite back, 45xx and protocol errors do not", () => {
  for (const code of [1001, 1006, 1011, 1012, 1013, 4000, 4003, 4499]) assert.ok(mayReturn(code), `${code}`);
  for (const code of [1000, 1002, 1007, 1009, 4500, 4501, 4513, 4999]) assert.ok(!mayReturn(code), `${code}`);
});
