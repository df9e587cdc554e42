// A TanStack DB collection before the real bridge.

import assert from "node:assert/strict";
import test from "node:test";

import { createCollection } from "@tanstack/db";

import { LiveClient } from "../src/livequery.js";
import { liveCollectionOptions } from "../src/tanstack-db.js";
import { startHouse, until } from "./house.mjs";

test("a collection has the rows that SQL selects, by agg_id, and keeps them", async (t) => {
  const house = await startHouse({ rows: 40 });
  const client = new LiveClient(house.base, { transport: "sse" });
  t.after(async () => {
    client.close();
    await house.stop();
  });
  const query = { entity: "orders", where: [["status", "=", "open"]], sort: ["-total"], limit: 5 };
  const collection = createCollection(liveCollectionOptions(client, query));
  await collection.preload();
  const same = async () => {
    const want = await house.select("SELECT * FROM orders WHERE status = 'open' ORDER BY total DESC, id LIMIT 5");
    const have = collection.toArray.toSorted((a, b) => b.total - a.total || (a.id < b.id ? -1 : 1));
    return JSON.stringify(have.map(({ id, status, total, note }) => ({ id, status, total, note }))) === JSON.stringify(want) || have;
  };
  await until(same);
  const changes = [];
  collection.subscribeChanges((all) => changes.push(...all.map(({ type }) => type)), { includeInitialState: true });
  await house.sql("UPDATE orders SET total = 20000 WHERE id = 'o00000'");
  await house.sql("UPDATE orders SET note = 'read' WHERE id = 'o00000'");
  await until(same);
  assert.ok(collection.has("o00000"));
  assert.deepEqual([...new Set(changes)].sort(), ["delete", "insert", "update"]);
  await collection.cleanup();
});
