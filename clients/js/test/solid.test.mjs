// Solid on a real DOM, before the real bridge.

import assert from "node:assert/strict";
import test, { after, before } from "node:test";

import { ALL, OPEN, OPEN_SQL, body, shows, texts } from "./dom.mjs";
import { startHouse, until } from "./house.mjs";

const { createSignal, For } = await import("solid-js");
const { render } = await import("solid-js/web");
const { default: html } = await import("solid-js/html");
const { LiveClient } = await import("../src/livequery.js");
const { useLive, useLiveList } = await import("../src/solid.js");

let house;
let client;
before(async () => {
  house = await startHouse({ rows: 40 });
  client = new LiveClient(house.base, { transport: "sse", fetch });
});
after(async () => {
  client.close();
  await house.stop();
});

const mount = (setup) => {
  body.innerHTML = "<main></main>";
  return render(setup, body.firstChild);
};
const items = (live) => html`<ul><${For} each=${() => live.rows}>${(row) => html`<li>${row.agg_id}</li>`}<//></ul>`;

test("rows are shown and kept current; a query that is an accessor is followed; disposal closes", async (t) => {
  const made = t.mock.method(client, "live");
  const [query, setQuery] = createSignal(OPEN);
  let live;
  const dispose = mount(() => items((live = useLive(client, query))));
  await until(shows(house, OPEN_SQL));
  assert.deepEqual([live.status, live.error], ["live", null]);
  const node = body.querySelector("li:nth-child(2)");
  await house.sql("UPDATE orders SET total = 20000 WHERE id = 'o00000'");
  await until(shows(house, OPEN_SQL));
  assert.ok(body.contains(node), "a row that stays keeps its node");
  setQuery({ ...OPEN, limit: 2 });
  await until(shows(house, `${OPEN_SQL.slice(0, -1)}2`));
  dispose();
  assert.deepEqual(made.mock.calls.map(({ result }) => result.status), ["ended", "ended"]);
});

test("a list loads on, and knows when there is no more", async () => {
  let list;
  const dispose = mount(() => items((list = useLiveList(client, ALL, { page: 10 }))));
  await until(() => texts("li").length === 10);
  assert.equal(await list.loadMore(), 10);
  await until(shows(house, "SELECT id FROM orders ORDER BY total DESC, id LIMIT 20"));
  while (list.hasMore) await list.loadMore();
  assert.ok(list.hasBefore);
  assert.ok((await list.loadBack()) > 0);
  dispose();
});
