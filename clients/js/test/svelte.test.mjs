// Svelte, compiled here, on a real DOM, before the real bridge.

import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import test, { after, before } from "node:test";

import { ALL, OPEN, OPEN_SQL, body, shows, texts } from "./dom.mjs";
import { startHouse, until } from "./house.mjs";

const { compile } = await import("svelte/compiler");
const { mount, unmount } = await import("svelte");
const { LiveClient } = await import("../src/livequery.js");

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

const SOURCE = new URL("../src/svelte.js", import.meta.url).pathname;

async function component(name, source) {
  const folder = new URL("../node_modules/.svelte-test/", import.meta.url);
  mkdirSync(folder, { recursive: true });
  const file = new URL(`${name}-${process.pid}.mjs`, folder);
  writeFileSync(file, compile(source.replace("LIBRARY", SOURCE), { generate: "client", name }).js.code);
  return (await import(file.href)).default;
}

for (const [how, list] of [["its members", "live.rows"], ["the store", "$live.rows"]]) {
  test(`rows are shown and kept current, by ${how}; unmounting closes`, async (t) => {
    const made = t.mock.method(client, "live");
    const Orders = await component(
      "Orders",
      `<script>
        import { useLive } from "LIBRARY";
        let { client, query } = $props();
        const live = useLive(client, query);
      </script>
      <p>{${list.replace("rows", "status")}}</p>
      <ul>{#each ${list} as row (row.agg_id)}<li>{row.row.id}</li>{/each}</ul>`,
    );
    body.innerHTML = "";
    const app = mount(Orders, { target: body, props: { client, query: OPEN } });
    await until(shows(house, OPEN_SQL));
    assert.deepEqual(texts("p"), ["live"]);
    const node = body.querySelector("li:nth-child(2)");
    await house.sql(`UPDATE orders SET total = ${how === "the store" ? 30000 : 20000} WHERE id = '${how === "the store" ? "o00004" : "o00000"}'`);
    await until(shows(house, OPEN_SQL));
    assert.ok(body.contains(node), "a row that stays keeps its node");
    assert.equal(made.mock.callCount(), 1);
    await unmount(app);
    await until(() => made.mock.calls[0].result.status === "ended");
  });
}

test("a list loads on, and knows when there is no more", async () => {
  const List = await component(
    "List",
    `<script>
      import { useLiveList } from "LIBRARY";
      let { client, query, give } = $props();
      const list = useLiveList(client, query, { page: 10 });
      give(list);
    </script>
    <p>{list.hasMore}</p>
    <ul>{#each list.rows as row (row.agg_id)}<li>{row.row.id}</li>{/each}</ul>`,
  );
  body.innerHTML = "";
  let list;
  const app = mount(List, { target: body, props: { client, query: ALL, give: (it) => (list = it) } });
  await until(() => texts("li").length === 10);
  assert.equal(await list.loadMore(), 10);
  await until(shows(house, "SELECT id FROM orders ORDER BY total DESC, id LIMIT 20"));
  while (list.hasMore) await list.loadMore();
  await until(() => texts("p").join() === "false");
  assert.ok(list.hasBefore);
  assert.ok((await list.loadBack()) > 0);
  await unmount(app);
});
