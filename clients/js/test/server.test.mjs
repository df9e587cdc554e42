// The wrappers on a server, which has no DOM: the rows of `initial` are rendered, and nothing is opened.

import assert from "node:assert/strict";
import test from "node:test";

import { createElement } from "react";
import { renderToString as renderReact } from "react-dom/server";
import { createSSRApp, h } from "vue";
import { renderToString as renderVue } from "vue/server-renderer";

import { LiveClient } from "../src/livequery.js";
import * as react from "../src/react.js";
import * as vue from "../src/vue.js";

const QUERY = { entity: "orders", limit: 2 };
const initial = { rows: [{ agg_id: "a", version: 1, row: { id: "a" }, cursor: { values: ["a"] } }], pos: "p" };

/** @param {any} t */
function start(t) {
  const client = new LiveClient("http://127.0.0.1:1/live", { transport: "poll", fetch: () => assert.fail("asked") });
  t.after(() => client.close());
  return { client, made: [t.mock.method(client, "live"), t.mock.method(client, "list")] };
}

const RENDER = {
  react: (client) => {
    function Page() {
      const { rows } = react.useLive(client, QUERY, { initial });
      react.useLiveList(client, { entity: "orders" }, { page: 2 });
      return createElement("ul", null, rows.map(({ agg_id }) => createElement("li", { key: agg_id }, agg_id)));
    }
    return renderReact(createElement(Page));
  },
  vue: (client) =>
    renderVue(
      createSSRApp({
        setup() {
          const { rows } = vue.useLive(client, QUERY, { initial });
          const list = vue.useLiveList(client, { entity: "orders" }, { page: 2 });
          return () => h("ul", [rows.value.map(({ agg_id }) => h("li", agg_id)), list.hasMore.value]);
        },
      }),
    ),
};

for (const [name, render] of Object.entries(RENDER)) {
  test(`${name}: the rows are in the page, and no window is made`, async (t) => {
    const { client, made } = start(t);
    assert.match(await render(client), /<li>a<\/li>/);
    assert.deepEqual(made.map(({ mock }) => mock.callCount()), [0, 0]);
  });
}
