// <live-table> on a real DOM, before the real bridge.

import assert from "node:assert/strict";
import test, { after, before } from "node:test";

import { OPEN, OPEN_SQL, body, shows, texts } from "./dom.mjs";
import { startHouse, until } from "./house.mjs";

await import("../src/element.js");

let house;
before(async () => (house = await startHouse({ rows: 40 })));
after(() => house.stop());

const table = (attributes) => {
  const element = document.createElement("live-table");
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  body.replaceChildren(element);
  return element;
};

test("one tr per row, keyed; the columns named; text, never markup", async () => {
  await house.sql("UPDATE orders SET note = '<b>bold</b>' WHERE id = 'o00008'");
  const element = table({ src: house.base, query: JSON.stringify(OPEN), columns: "id, note" });
  await until(shows(house, OPEN_SQL, "tr td:first-child"));
  assert.deepEqual([texts("th"), element.getAttribute("status")], [["id", "note"], "live"]);
  assert.equal(body.querySelectorAll("tr").length, 5);
  assert.equal(body.querySelectorAll("b").length, 0);
  const [first] = body.querySelectorAll("tr");
  assert.equal(first.dataset.id, element.rows[0].agg_id);
  const nodes = new Set(body.querySelectorAll("tr"));
  await house.sql("UPDATE orders SET total = 20000 WHERE id = 'o00000'");
  await until(shows(house, OPEN_SQL, "tr td:first-child"));
  assert.equal([...body.querySelectorAll("tr")].filter((node) => nodes.has(node)).length, 4);
});

test("without columns those of the first row; another query takes its place", async () => {
  const element = table({ src: house.base, query: JSON.stringify(OPEN) });
  await until(shows(house, OPEN_SQL, "tr td:first-child"));
  assert.deepEqual(texts("th"), ["id", "status", "total", "note"]);
  element.setAttribute("query", JSON.stringify({ ...OPEN, limit: 2 }));
  await until(shows(house, `${OPEN_SQL.slice(0, -1)}2`, "tr td:first-child"));
});

test("what is refused is told by attributes; no JSON, too", async () => {
  const element = table({ src: house.base, query: '{"entity":"nope","limit":1}' });
  await until(() => element.getAttribute("status") === "failed");
  assert.match(element.getAttribute("error"), /nope/);
  element.setAttribute("query", "{");
  await until(() => element.getAttribute("error") === "query: no JSON");
});
