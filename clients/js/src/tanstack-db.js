// TanStack DB: a collection whose rows a live query keeps.

/** @typedef {import("./livequery.js").LiveClient} LiveClient */

/**
 * Options for `createCollection`. An item has the row's columns, and `agg_id`, which is its key.
 *
 * @template {object} [T=any]
 * @param {LiveClient} client
 * @param {import("./types.js").Query} query
 * @param {{ id?: string }} [options]
 */
export function liveCollectionOptions(client, query, { id } = {}) {
  /** @typedef {T & { agg_id: string }} Item */
  return {
    id: id ?? `livequery ${JSON.stringify(query)}`,
    /** @param {Item} item */
    getKey: (item) => item.agg_id,
    sync: {
      /** @type {"full"} */
      rowUpdateMode: "full",
      /** @param {any} collection */
      sync({ begin, write, commit, markReady }) {
        const live = client.live(query);
        /** @type {Map<string, import("./types.js").Row<any>>} */
        let before = new Map();
        let rows = live.rows;
        const item = (/** @type {import("./types.js").Row<any>} */ { agg_id, row }) => ({ ...row, agg_id });
        const show = () => {
          if (live.rows !== rows || !before.size) {
            rows = live.rows;
            const now = new Map(rows.map((row) => [row.agg_id, row]));
            begin();
            for (const [key, row] of before) if (!now.has(key)) write({ type: "delete", value: item(row) });
            for (const [key, row] of now) {
              const held = before.get(key);
              if (held !== row) write({ type: held ? "update" : "insert", value: item(row) });
            }
            commit();
            before = now;
          }
        };
        live.subscribe(show);
        show();
        live.ready.then(markReady, markReady);
        return () => live.close();
      },
    },
  };
}
