// The same query for other places: a terminal, a page, a component, a reader.

import { OPERATORS, takesNone } from "./schema.js";

const text = (tree) => JSON.stringify(tree);
const limited = (query) => ({ ...query, limit: query.limit ?? 50 });

export const SNIPPETS = {
  curl: (base, query) =>
    `curl -N '${base}' \\\n  -H 'Content-Type: application/json' \\\n  -d '${text(limited(query)).replaceAll("'", "'\\''")}'`,
  javascript: (base, query) => `import { LiveClient } from "livequery-client";

const client = new LiveClient(${text(base)});
const rows = client.live(${text(limited(query))});
rows.subscribe(() => console.table(rows.rows.map(({ row }) => row)));`,
  react: (base, query) => `import { LiveClient } from "livequery-client";
import { useLive } from "livequery-client/react";

const client = new LiveClient(${text(base)});
const query = ${text(limited(query))};

export function Rows() {
  const { rows, status, error } = useLive(client, query);
  if (error) return <p role="alert">{error.message}</p>;
  return <ol aria-busy={status !== "live"}>{rows.map(({ agg_id, row }) => <li key={agg_id}>{JSON.stringify(row)}</li>)}</ol>;
}`,
  sql: (_, query) => sqlish(query),
};

function literal(value) {
  if (Array.isArray(value)) return `(${value.map(literal).join(", ")})`;
  return typeof value === "string" ? `'${value.replaceAll("'", "''")}'` : String(value);
}

function condition(one) {
  if (one.or?.length) return `(${one.or.map(condition).join(" OR ")})`;
  const sign = OPERATORS[one.op] ?? one.op;
  const op = { "≠": "<>", "≥": ">=", "≤": "<=" }[sign] ?? sign.toUpperCase();
  return takesNone(one.op) ? `${one.column} ${op}` : `${one.column} ${op} ${literal(one.value)}`;
}

/** SQL to read, not to run: ties end in the row's key, as tiers do. */
export function sqlish(query) {
  const parts = [`SELECT * FROM ${query.entity}`];
  if (query.where?.length) parts.push(`WHERE ${query.where.map(condition).join("\n  AND ")}`);
  const keys = (query.sort ?? []).map(({ column, desc }) => `${column}${desc ? " DESC" : ""}`);
  parts.push(`ORDER BY ${[...keys, "<key>"].join(", ")}`);
  return parts.join("\n") + (query.limit ? `\nLIMIT ${query.limit}` : "");
}
