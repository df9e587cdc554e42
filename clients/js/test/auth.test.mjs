// Tokens and tickets before a bridge that verifies them.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import test, { after, before, describe } from "node:test";

import { EventSource } from "eventsource";
import { WebSocket } from "ws";

import { LiveClient } from "../src/livequery.js";
import { columns, startHouse, until } from "./house.mjs";

const KEY = Buffer.from("a key of thirty-two bytes, or more");
const b64 = (value) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");
const QUERY = { entity: "orders", sort: ["-total"], limit: 5 };
const SQL = "SELECT * FROM orders ORDER BY total DESC, id LIMIT 5";

/** @param {number} seconds until it expires */
function sign(seconds, claims = {}) {
  const now = Math.floor(Date.now() / 1000);
  const text = `${b64({ alg: "HS256", typ: "JWT" })}.${b64({ iss: "house", aud: "live", sub: "anna", iat: now, exp: now + seconds, ...claims })}`;
  return `${text}.${createHmac("sha256", KEY).update(text).digest("base64url")}`;
}

let house;
before(async () => {
  const keys = JSON.stringify({ keys: [{ kty: "oct", alg: "HS256", k: KEY.toString("base64url") }] });
  house = await startHouse({ rows: 30, options: { auth: "jwt", jwt_keys: keys, jwt_issuer: "house", jwt_audience: "live", jwt_leeway: "1s" } });
});
after(() => house.stop());

const WAYS = {
  ws: { transport: "ws", WebSocket },
  sse: { transport: "sse" },
  EventSource: { transport: "sse", EventSource },
  poll: { transport: "poll" },
};

const start = (t, way, token) => {
  const client = new LiveClient(house.base, { ...WAYS[way], token });
  t.after(() => client.close());
  return client;
};

const exact = (view) =>
  until(async () => (view.status === "live" && JSON.stringify(columns(view.rows)) === JSON.stringify(await house.select(SQL))) || [view.status, view.error]);

for (const way of Object.keys(WAYS)) {
  test(`${way}: with a token the window is there; without one, or with a bad one, it fails and says why`, async (t) => {
    const good = start(t, way, async () => sign(600)).live(QUERY);
    await good.ready;
    await exact(good);
    let asked = 0;
    const bad = start(t, way, () => `${sign(600)}${++asked}`).live(QUERY);
    await assert.rejects(bad.ready, { code: "UNAUTHENTICATED", status: 401, retryable: false });
    assert.deepEqual([bad.status, asked], ["failed", 2]);
    await assert.rejects(start(t, way, undefined).live(QUERY).ready, { code: "UNAUTHENTICATED" });
  });
}

// Side by side: each takes nine seconds, which it waits.
describe("tokens that live for seconds", { concurrency: true }, () => {
  for (const way of Object.keys(WAYS)) {
    test(`${way}: they are replaced before they end; no row is lost`, { timeout: 60_000 }, async (t) => {
      let asked = 0;
      const client = start(t, way, () => (asked++, sign(4)));
      const live = client.live(QUERY);
      await live.ready;
      const statuses = new Set();
      live.subscribe(() => statuses.add(live.status));
      for (let n = 0; n < 18; n++) {
        await house.sql(["UPDATE orders SET total = (total + 3571) % 10007 WHERE id = ?", [`o${`${(n * 7) % 30}`.padStart(5, "0")}`]]);
        await new Promise((resolve) => setTimeout(resolve, 500));
      }
      await exact(live);
      assert.ok(asked >= 2 && asked <= 12, `${asked} tokens`);
      assert.ok(!statuses.has("failed"));
      if (way === "ws") assert.deepEqual([...statuses], ["live"]);
    });
  }
});

test("fetch shows its token too, and asks for another once", async (t) => {
  let asked = 0;
  const client = start(t, "poll", () => (++asked === 1 ? "stale" : sign(60)));
  assert.equal((await client.fetch(QUERY)).rows.length, 5);
  assert.equal(asked, 2);
});
