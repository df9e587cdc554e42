// The shorthand of a query.

import assert from "node:assert/strict";
import test from "node:test";

import { toLiveQuery } from "../src/livequery.js";

test("every sign has its operator", () => {
  const signs = ["=", "!=", ">", ">=", "<", "<=", "in", "not-in", "like", "ilike", "null", "not-null"];
  const ops = ["eq", "ne", "gt", "gte", "lt", "lte", "in", "notin", "like", "ilike", "isnull", "isnotnull"];
  const { where } = toLiveQuery({ entity: "e", where: signs.map((sign) => ["c", sign, 1]) });
  assert.deepEqual(where.map(({ op }) => op), ops);
});

test("conditions without a value have none, null is a value, and or nests", () => {
  const { where } = toLiveQuery({
    entity: "e",
    where: [["a", "null"], ["b", "=", null], { or: [["c", "in", [1, 2]], { or: [["d", "<", 3]] }] }],
  });
  assert.deepEqual(where, [
    { column: "a", op: "isnull" },
    { column: "b", op: "eq", value: null },
    { or: [{ column: "c", op: "in", value: [1, 2] }, { or: [{ column: "d", op: "lt", value: 3 }] }] },
  ]);
});

test("a minus sorts descending", () => {
  assert.deepEqual(toLiveQuery({ entity: "e", sort: ["-total", "name"] }).sort, [
    { column: "total", desc: true },
    { column: "name" },
  ]);
});

test("a LiveQuery of the wire is taken as it is, and the given one is not changed", () => {
  const query = Object.freeze({
    entity: "e",
    where: Object.freeze([{ column: "a", op: "eq", value: 1 }, { or: [{ column: "b", op: "isnull" }] }]),
    sort: Object.freeze([{ column: "a", desc: true }]),
    limit: 3,
    cursor: { values: [1, "x"] },
    mode: 0,
  });
  assert.deepEqual(toLiveQuery(query), query);
});

test("what is no shorthand goes to the bridge, whose refusal names it", () => {
  assert.deepEqual(toLiveQuery({ entity: "e", where: [["a", "==", 1], ["b", "toString", 1]] }).where, [
    { column: "a", op: "==", value: 1 },
    { column: "b", op: "toString", value: 1 },
  ]);
  assert.deepEqual(toLiveQuery({ entity: "e", where: "x", sort: 7 }), { entity: "e", where: "x", sort: 7 });
});
