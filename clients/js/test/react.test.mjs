// React, StrictMode and Suspense, on a real DOM and before the real bridge.

import assert from "node:assert/strict";
import test, { after, before } from "node:test";

import { ALL, OPEN, OPEN_SQL, body, shows, texts } from "./dom.mjs";
import { startHouse, until } from "./house.mjs";

const { StrictMode, Suspense, createElement, use } = await import("react");
const { createRoot } = await import("react-dom/client");
const { renderToString } = await import("react-dom/server");
const { LiveClient } = await import("../src/livequery.js");
const { useLive, useLiveList } = await import("../src/react.js");

let house;
before(async () => (house = await startHouse({ rows: 40 })));
after(() => house.stop());

/** @param {any} t */
function start(t) {
  const client = new LiveClient(house.base, { transport: "sse", fetch });
  body.innerHTML = "<main></main>";
  const root = createRoot(body.firstChild);
  t.after(() => {
    root.unmount();
    client.close();
  });
  const made = t.mock.method(client, "live");
  return { client, root, made };
}

function Orders({ client, query = OPEN, renders = [] }) {
  const { rows, status, error } = useLive(client, query);
  renders.push(rows);
  return createElement("div", null, createElement("p", null, error?.code ?? status), createElement("ul", null, rows.map(({ agg_id }) => createElement("li", { key: agg_id }, agg_id))));
}

test("rows are shown and kept current, one render a group", async (t) => {
  const { client, root } = start(t);
  const renders = [];
  root.render(createElement(Orders, { client, renders }));
  await until(shows(house, OPEN_SQL));
  assert.deepEqual(texts("p"), ["live"]);
  const count = renders.length;
  const node = body.querySelector("li:nth-child(2)");
  await house.sql("UPDATE orders SET total = 20000 WHERE id = 'o00000'");
  await until(shows(house, OPEN_SQL));
  assert.equal(renders.length, count + 1);
  assert.ok(body.contains(node), "a row that stays keeps its node");
});

test("in StrictMode a query is opened once, by however many components, and closed after the last", async (t) => {
  const { client, root, made } = start(t);
  root.render(createElement(StrictMode, null, [1, 2, 3].map((key) => createElement(Orders, { key, client }))));
  await until(() => texts("p").join() === "live,live,live");
  assert.equal(made.mock.callCount(), 1);
  const [{ result: live }] = made.mock.calls;
  root.render(null);
  await until(() => live.status === "ended");
});

test("a render that Suspense throws away opens nothing", async (t) => {
  const { client, root, made } = start(t);
  let resolve;
  const waiting = new Promise((done) => (resolve = done));
  function Waits(props) {
    const shown = createElement(Orders, props);
    useLive(client, OPEN);
    use(waiting);
    return shown;
  }
  root.render(createElement(Suspense, { fallback: createElement("p", null, "wait") }, createElement(Waits, { client })));
  await until(() => texts("p").join() === "wait");
  assert.equal(made.mock.callCount(), 0);
  resolve();
  await until(() => texts("p").join() === "live");
  assert.equal(made.mock.callCount(), 1);
});

test("another query replaces the first; a refused one shows its error", async (t) => {
  const { client, root } = start(t);
  root.render(createElement(Orders, { client }));
  await until(() => texts("p").join() === "live");
  root.render(createElement(Orders, { client, query: { ...OPEN, limit: 2 } }));
  await until(shows(house, `${OPEN_SQL.slice(0, -1)}2`));
  root.render(createElement(Orders, { client, query: { entity: "nope", limit: 2 } }));
  await until(() => texts("p").join() === "NOT_FOUND");
});

test("a list loads on, and knows when there is no more", async (t) => {
  const { client, root } = start(t);
  let list;
  function List() {
    list = useLiveList(client, ALL, { page: 10 });
    return createElement("ul", null, list.rows.map(({ agg_id }) => createElement("li", { key: agg_id }, agg_id)));
  }
  root.render(createElement(StrictMode, null, createElement(List)));
  await until(() => texts("li").length === 10);
  assert.deepEqual([list.hasMore, list.hasBefore], [true, false]);
  assert.equal(await list.loadMore(), 10);
  await until(shows(house, "SELECT id FROM orders ORDER BY total DESC, id LIMIT 20"));
  while (list.hasMore) {
    await list.loadMore();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await until(() => list.hasBefore && !list.hasMore);
  await until(() => texts("li").length <= 30);
  await list.loadBack();
  await until(() => list.hasMore);
});

test("rendered on a server with its rows, gone on from in the page", async (t) => {
  const { client, root, made } = start(t);
  const initial = JSON.parse(JSON.stringify(await client.fetch(OPEN)));
  function Page() {
    const { rows } = useLive(client, OPEN, { initial });
    return createElement("ul", null, rows.map(({ agg_id }) => createElement("li", { key: agg_id }, agg_id)));
  }
  const html = renderToString(createElement(Page));
  assert.equal(made.mock.callCount(), 0);
  assert.equal([...html.matchAll(/<li>/g)].length, 5);
  root.render(createElement(Page));
  await until(() => texts("li").length === 5);
  await house.sql("UPDATE orders SET total = total + 500 WHERE id = 'o00004'");
  await until(shows(house, OPEN_SQL));
});
