// The reducer against recorded runs of the original engine, and what it promises beyond.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import { digestOf } from "../src/digest.js";
import { NO_ROWS, Unreadable, applyFrames, rowsFrom } from "../src/reducer.js";

const VECTORS = new URL("../../../tests/vectors/engine_traces.jsonl", import.meta.url);

/** {trace: steps}; the limit of a step is the one in force after it. */
function traces() {
  const all = new Map();
  for (const line of readFileSync(VECTORS, "utf8").split("\n").filter(Boolean)) {
    const { trace, kind, query, limit, deltas, engine_window: want, splice_ok } = JSON.parse(line);
    if (kind === "config") {
      all.set(trace, { limit: query.Limit, steps: [] });
      continue;
    }
    const one = all.get(trace);
    if (limit) one.limit = limit;
    one.steps.push({ limit: one.limit, deltas, want, splice_ok });
  }
  return all;
}

const shape = (window) => window.map(({ agg_id, version }) => `${agg_id}@${version}`);
const ids = (window) => window.map(({ agg_id }) => agg_id);
const enter = (agg_id, new_index = 0, rest = {}) => ({ op: "enter", agg_id, old_index: -1, new_index, ...rest });

// As the bridge sends them: with the leaves that the engine forgets, which its guard appends.
for (const [name, { steps }] of traces()) {
  test(`${name}: id-keyed frames equal the engine's window at every step`, () => {
    let rows = NO_ROWS;
    steps.forEach(({ limit, deltas, want }, i) => {
      const over = applyFrames(rows, deltas).slice(limit);
      const leaves = over.map(({ agg_id }) => ({ op: "leave", agg_id }));
      rows = applyFrames(rows, [...deltas, ...leaves]);
      assert.deepEqual(shape(rows), want, `step ${i}`);
    });
  });
}

test("the traces do hold forgotten leaves", () => {
  const steps = [...traces().values()].flatMap((one) => one.steps);
  assert.ok(steps.some((step) => !step.splice_ok));
});

test("an unknown op, even one named like a built-in, changes nothing", () => {
  const rows = applyFrames([], [enter("a")]);
  for (const op of ["delta", "constructor", "__proto__"]) {
    assert.equal(applyFrames(rows, [{ op, agg_id: "a" }]), rows);
  }
});

for (const frames of [null, {}, [null], [{}], [{ op: 7 }], [{ op: "leave", agg_id: 7 }], [{ op: "enter", agg_id: "a" }], [{ op: "enter", agg_id: "a", new_index: -1 }]]) {
  test(`what is no frame is unreadable: ${JSON.stringify(frames)}`, () => {
    assert.throws(() => applyFrames(NO_ROWS, frames), Unreadable);
  });
}

test("rows are frozen, a window is never changed in place, and rows left alone stay the same objects", () => {
  const before = applyFrames([], [enter("a"), enter("b", 1)]);
  const after = applyFrames(before, [{ op: "update", agg_id: "b", version: 2, row: { x: 1 }, new_index: 1 }]);
  assert.ok(Object.isFrozen(before) && Object.isFrozen(after) && after.every(Object.isFrozen));
  assert.equal(after[0], before[0]);
  assert.deepEqual(after[1], { agg_id: "b", version: 2, row: { x: 1 }, cursor: { values: null } });
});

test("a snapshot that brings the same rows again keeps the objects and the list", () => {
  const frames = [{ op: "reset" }, enter("a", 0, { version: 1, row: { x: 1 } }), enter("b", 1, { version: 2 })];
  const before = applyFrames([], frames);
  assert.equal(applyFrames(before, frames), before);
  const after = applyFrames(before, [frames[0], enter("b", 0, { version: 2 }), enter("a", 1, { version: 1, row: { x: 2 } })]);
  assert.equal(after[0], before[1]);
  assert.notEqual(after[1], before[0], "the same version with other content is another row");
});

test("a move that brings nothing new keeps the object", () => {
  const before = applyFrames([], [enter("a", 0, { version: 1 }), enter("b", 1)]);
  const after = applyFrames(before, [{ op: "move", agg_id: "a", version: 1, old_index: 0, new_index: 1 }]);
  assert.deepEqual(ids(after), ["b", "a"]);
  assert.equal(after[1], before[0]);
});

test("an update of a row that is not there adds none; a match does, and replaces in place", () => {
  const rows = applyFrames([], [enter("a"), enter("b", 1)]);
  assert.equal(applyFrames(rows, [{ op: "update", agg_id: "z" }]).length, 2);
  assert.deepEqual(ids(applyFrames(rows, [{ op: "match", agg_id: "z" }])), ["a", "b", "z"]);
  assert.deepEqual(shape(applyFrames(rows, [{ op: "match", agg_id: "a", version: 9 }])), ["a@9", "b@0"]);
  assert.deepEqual(ids(applyFrames(rows, [{ op: "unmatch", agg_id: "a" }])), ["b"]);
});

test("an index beyond the end appends, and a second enter moves", () => {
  assert.deepEqual(ids(applyFrames([], [enter("a"), enter("b", 99), enter("a", 1)])), ["b", "a"]);
});

test("a row whose id is empty, and so left out of the frame, is a row like any other", () => {
  const rows = applyFrames([], [{ op: "enter", old_index: -1, new_index: 0, row: { x: 1 } }]);
  assert.deepEqual(ids(rows), [""]);
  assert.deepEqual(applyFrames(rows, [{ op: "leave", old_index: 0, new_index: -1 }]), []);
});

test("rows that went through JSON are rows again", () => {
  const rows = applyFrames([], [enter("a", 0, { version: 3, row: { x: 1 }, cursor: { values: [1, "a"] } })]);
  assert.deepEqual(rowsFrom(JSON.parse(JSON.stringify(rows))), rows);
  assert.throws(() => rowsFrom("rows"), Unreadable);
});

test("the digest is CRC-32 over ids and versions in window order", () => {
  assert.equal(digestOf([]), "00000000");
  assert.equal(digestOf([{ agg_id: "a", version: 1 }]), "89c12400");
  assert.equal(digestOf([{ agg_id: "ü", version: 0 }, { agg_id: "b", version: 2 }]), "9dbdafb8");
  const lost = [{ agg_id: "a", version: 2 ** 53 }];
  assert.equal(digestOf(lost), digestOf([{ agg_id: "a", version: 0 }]), "JavaScript has lost its digits");
});
