// The library in real tabs of a real Firefox, before the real bridge and tier.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import test, { after, before } from "node:test";

import puppeteer from "puppeteer-core";

import { startHouse, until } from "./house.mjs";

const FIREFOX = ["/usr/bin/firefox-esr", "/usr/bin/firefox"].find(existsSync);
const skip = FIREFOX ? false : "*** NO FIREFOX: apt-get install firefox-esr, then run again ***";

const QUERIES = ["open", "paid", "sent", "done"].map((status) => ({ entity: "orders", where: [["status", "=", status]], sort: ["-total"], limit: 12 }));
QUERIES.push({ entity: "orders", sort: ["status", "-total"], limit: 30 });
const SQL = ["open", "paid", "sent", "done"].map((status) => `SELECT * FROM orders WHERE status = '${status}' ORDER BY total DESC, id LIMIT 12`);
SQL.push("SELECT * FROM orders ORDER BY status, total DESC, id LIMIT 30");

let house;
let browser;
before(async () => {
  if (skip) return;
  house = await startHouse({ rows: 200 });
  browser = await puppeteer.launch({ browser: "firefox", executablePath: FIREFOX, headless: true, timeout: 120_000, protocolTimeout: 120_000 });
});
after(async () => {
  await browser?.close();
  await house?.stop();
});

async function open(options) {
  const page = await browser.newPage();
  await page.goto(new URL("/healthz", house.base).href);
  await page.evaluate(
    async (given, queries) => {
      const { LiveClient } = await import("/client/livequery.js");
      window.faults = [];
      addEventListener("unhandledrejection", ({ reason }) => window.faults.push(String(reason)));
      window.client = new LiveClient("/api/v1/live", given);
      window.views = queries.map((query) => {
        const view = window.client.live(query);
        let length = 0;
        view.subscribe(() => {
          if (length && !view.rows.length) window.faults.push("blank");
          length = view.rows.length;
        });
        return view;
      });
    },
    options,
    QUERIES,
  );
  return page;
}

const exact = (page) =>
  until(async () => {
    const want = await Promise.all(SQL.map((sql) => house.select(sql)));
    const [statuses, rows, faults] = await page.evaluate(() => [
      window.views.map(({ status }) => status),
      window.views.map((view) => view.rows.map(({ row }) => row)),
      window.faults,
    ]);
    assert.deepEqual(faults, []);
    return (statuses.every((status) => status === "live") && JSON.stringify(rows) === JSON.stringify(want)) || [statuses, rows.map(({ length }) => length)];
  }, 60_000);

let turn = 0;
const change = () => house.sql(["UPDATE orders SET total = (total + 3571) % 10007 WHERE id = ?", [`o${`${(turn++ * 37) % 200}`.padStart(5, "0")}`]]);

for (const options of [{ transport: "ws" }, { transport: "sse" }, { transport: "poll" }, { share: true, persist: "indexedDB" }]) {
  test(`${JSON.stringify(options)}: two tabs of five queries end exact`, { skip, timeout: 280_000 }, async () => {
    const pages = [await open(options), await open(options)];
    for (const page of pages) await exact(page);
    for (let n = 0; n < 20; n++) await change();
    await house.call("restart_bridge");
    await change();
    for (const page of pages) await exact(page);
    await house.call("stop_tier");
    for (let n = 0; n < 5; n++) await change();
    await house.call("start_tier");
    for (const page of pages) await exact(page);
    for (const page of pages) await page.close();
  });
}
