#!/usr/bin/env node
// npx livequery-client types URL: TypeScript types of the entities that a bridge tells of.

import { typesOf } from "../src/schema-types.js";

const USAGE = `usage: livequery-client types URL [--token TOKEN]

Writes TypeScript types from URL/schema to standard output. URL is the bridge's base path,
as in http://127.0.0.1:8080/api/v1/live. LIVEQUERY_TOKEN is used where no --token is given.
`;

/** @param {string[]} words */
async function main(words) {
  const [command, url, flag, text] = words;
  if (command !== "types" || !url || (flag && (flag !== "--token" || !text))) {
    process.stderr.write(USAGE);
    return command === "--help" || command === "-h" ? 0 : 2;
  }
  try {
    const token = text ?? process.env.LIVEQUERY_TOKEN;
    const headers = token ? { authorization: `Bearer ${token}` } : undefined;
    const response = await fetch(`${url.replace(/\/$/, "")}/schema`, { headers });
    const body = await response.json().catch(() => null);
    if (response.status === 501) throw new Error("this tier does not describe itself");
    if (!response.ok) throw new Error(body?.detail ?? `HTTP ${response.status}`);
    if (!Array.isArray(body?.entities)) throw new Error("the answer is no schema");
    process.stdout.write(typesOf(body));
    return 0;
  } catch (thrown) {
    const { message, cause } = /** @type {any} */ (thrown);
    process.stderr.write(`livequery-client: ${url}: ${cause?.code ?? cause?.message ?? message}\n`);
    return 1;
  }
}

process.exitCode = await main(process.argv.slice(2));
