// npx livequery-client types URL, as people run it.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createServer } from "node:http";
import test from "node:test";
import { promisify } from "node:util";

import ts from "typescript";

import { typesOf } from "../src/schema-types.js";
import { startHouse } from "./house.mjs";

const COMMAND = new URL("../bin/livequery-client.js", import.meta.url).pathname;
const run = (...words) =>
  promisify(execFile)(process.execPath, [COMMAND, ...words]).then(
    ({ stdout }) => ({ code: 0, stdout }),
    ({ code, stdout, stderr }) => ({ code, stdout, stderr }),
  );

const STRICT = { strict: true, noEmit: true, types: [], lib: ["lib.es2022.d.ts"], skipLibCheck: true };

/** What TypeScript has to say of a text; its own libraries are not asked about. */
function complaints(text) {
  const host = ts.createCompilerHost({});
  const { getSourceFile } = host;
  host.getSourceFile = (name, ...rest) => (name === "x.ts" ? ts.createSourceFile(name, text, ts.ScriptTarget.ES2022) : getSourceFile(name, ...rest));
  const program = ts.createProgram(["x.ts"], STRICT, host);
  return ts.getPreEmitDiagnostics(program).map(({ messageText }) => messageText);
}

test("every type of a column has its TypeScript type; names and comments can't break out", () => {
  const columns = ["bool", "int", "double", "decimal", "string", "timestamp", "date", "bytes", "json", "news"].map((type) => ({ name: type, type }));
  const text = typesOf({
    entities: [
      { name: "order lines", description: "what */ was\nordered", columns: [...columns, { name: "a-b", type: "int", nullable: true, description: "*/" }, { name: "any" }] },
      { name: "order_lines", columns: [] },
      { name: "3d" },
    ],
  });
  assert.deepEqual(complaints(`${text}\nconst e: Entities["order lines"] = {} as OrderLines; const n: number | null = e["a-b"]; const s: string = e.timestamp; const d: number | string = e.decimal;`), []);
  assert.match(text, /export interface OrderLines2/);
  assert.match(text, /export interface _3d/);
  assert.notDeepEqual(complaints(`${text}\nconst e = {} as OrderLines; const n: number = e["a-b"];`), []);
});

test("the real bridge's schema becomes types", async (t) => {
  const house = await startHouse({ rows: 3 });
  t.after(() => house.stop());
  const { code, stdout } = await run("types", `${house.base}/`);
  assert.equal(code, 0);
  assert.deepEqual(complaints(`${stdout}\nconst o: Entities["orders"] = {} as Orders; const id: string | null = o.id;`), []);
  assert.match(stdout, /note: string \| null;/);
});

test("a bridge that refuses, is no bridge, or is not there: one line, exit 1; a wrong use: exit 2", async (t) => {
  const server = createServer((request, response) => {
    if (request.url === "/none/schema") response.writeHead(501).end("{}");
    else if (request.url === "/denied/schema" && request.headers.authorization !== "Bearer T") response.writeHead(401).end('{"detail":"no credential"}');
    else if (request.url === "/denied/schema") response.end('{"entities":[]}');
    else response.end("<p>hello</p>");
  }).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.on("listening", resolve));
  t.after(() => server.close());
  const base = `http://127.0.0.1:${server.address().port}`;
  for (const [path, says] of [["none", /does not describe/], ["denied", /no credential/], ["page", /no schema/]]) {
    const { code, stderr } = await run("types", `${base}/${path}`);
    assert.equal(code, 1);
    assert.match(stderr, says);
    assert.equal(stderr.trim().split("\n").length, 1);
  }
  assert.equal((await run("types", `${base}/denied`, "--token", "T")).code, 0);
  await new Promise((resolve) => server.close(resolve));
  const { code, stderr } = await run("types", base);
  assert.deepEqual([code, /ECONNREFUSED/.test(stderr)], [1, true]);
  assert.equal((await run("types")).code, 2);
  assert.equal((await run("--help")).code, 0);
});
