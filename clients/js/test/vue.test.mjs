// Vue on a real DOM, before the real bridge.

import assert from "node:assert/strict";
import test, { after, before } from "node:test";

import { ALL, OPEN, OPEN_SQL, body, shows, texts } from "./dom.mjs";
import { startHouse, until } from "./house.mjs";

const { createApp, h, ref } = await import("vue");
const { LiveClient } = await import("../src/livequery.js");
const { useLive, useLiveList } = await import("../src/vue.js");

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
  const app = createApp({ setup });
  app.mount(body.firstChild);
  return app;
};
const items = (rows) => h("ul", rows.value.map(({ agg_id }) => h("li", { key: agg_id }, agg_id)));

test("rows are shown and kept current; a query that is a ref is followed; unmounting closes", async (t) => {
  const made = t.mock.method(client, "live");
  const query = ref(OPEN);
  let live;
  const app = mount(() => {
    live = useLive(client, query);
    return () => items(live.rows);
  });
  await until(shows(house, OPEN_SQL));
  assert.deepEqual([live.status.value, live.error.value], ["live", null]);
  await house.sql("UPDATE orders SET total = 20000 WHERE id = 'o00000'");
  await until(shows(house, OPEN_SQL));
  query.value = { ...OPEN, limit: 2 };
  await until(shows(house, `${OPEN_SQL.slice(0, -1)}2`));
  app.unmount();
  assert.deepEqual(made.mock.calls.map(({ result }) => result.status), ["ended", "ended"]);
});

test("a refused query shows its error", async () => {
  let live;
  const app = mount(() => {
    live = useLive(client, { entity: "nope", limit: 1 });
    return () => items(live.rows);
  });
  await until(() => live.status.value === "failed" && live.error.value.code === "NOT_FOUND");
  app.unmount();
});

test("a list loads on, and knows when there is no more", async () => {
  let list;
  const app = mount(() => {
    list = useLiveList(client, () => ALL, { page: 10 });
    return () => items(list.rows);
  });
  await until(() => texts("li").length === 10);
  assert.equal(await list.loadMore(), 10);
  await until(shows(house, "SELECT id FROM orders ORDER BY total DESC, id LIMIT 20"));
  while (list.hasMore.value) await list.loadMore();
  assert.ok(list.hasBefore.value);
  assert.ok((await list.loadBack()) > 0);
  app.unmount();
});
