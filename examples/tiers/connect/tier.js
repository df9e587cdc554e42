/**
 * A tier on @connectrpc/connect-node: node tier.js --listen 127.0.0.1:50051.
 *
 * The engine is that of ../node, which speaks in plain objects: protobuf's JSON mapping is between.
 */
import { fromJson, toJson } from "@bufbuild/protobuf";
import { ConnectError } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { readFileSync } from "node:fs";
import http2 from "node:http2";
import { parseArgs } from "node:util";
import { Query, Refused, status, Table } from "../node/ticks.js";
import { LiveQuerySchema, LiveQueryService, SubscribeResponseSchema } from "./gen/livequery/v1/livequery_pb.js";

const PENDING = 1000; // batches that wait for a consumer; then its stream is given up
const { values: options } = parseArgs({
  options: {
    listen: { type: "string", default: "127.0.0.1:50051" },
    cert: { type: "string" },
    key: { type: "string" },
    "client-ca": { type: "string" },
    "changes-per-second": { type: "string", default: "1" },
  },
});

/** Return JSON of a query with the `kind` of each oneof beside it, as the engine reads it. */
function withKinds(json) {
  if (Array.isArray(json)) return json.map(withKinds);
  if (json === null || typeof json !== "object") return json;
  const members = Object.fromEntries(Object.entries(json).map(([name, value]) => [name, withKinds(value)]));
  const kind = Object.keys(json).find((name) => name === "comparison" || name === "or_group" || name.endsWith("_value"));
  return kind ? { ...members, kind } : members;
}

/** Return a batch of the engine as a message. */
function batchMessage({ deltas, ...batch }) {
  const json = deltas.map(({ row, at, ...delta }) => ({
    ...delta,
    ...(row && { row: row.toString("base64") }),
    ...(at && { at: new Date(at.seconds * 1000 + at.nanos / 1e6).toISOString() }),
  }));
  return fromJson(SubscribeResponseSchema, { batch: { ...batch, deltas: json } });
}

const table = new Table();
let names = 0;

async function* subscribe(request, { signal }) {
  let query;
  try {
    const asked = request.query ? toJson(LiveQuerySchema, request.query, { useProtoFieldName: true, alwaysEmitImplicit: true }) : {};
    query = new Query(withKinds(asked));
  } catch (error) {
    throw new ConnectError(error.message, error instanceof Refused ? error.code : status.INTERNAL);
  }
  const seconds = Math.min(Math.max(Number(request.heartbeatInterval?.seconds ?? 0) || 15, 1), 60);
  yield fromJson(SubscribeResponseSchema, {
    started: { subscriptionId: `s${++names}`, heartbeatInterval: `${seconds}s` },
  });

  let pending = [];
  let end = null;
  let lastSeq = 0;
  let wake = () => {};
  const onEnd = (/** @type {Refused} */ error) => {
    end ??= error;
    wake();
  };
  const onBatch = (batch) => {
    if (pending.push(batch) > PENDING) onEnd(new Refused(status.ABORTED, "the consumer does not read"));
    wake();
  };
  const unsubscribe = table.subscribe(query, onBatch, onEnd);
  signal.addEventListener("abort", () => wake()); // the unsubscribe
  try {
    while (!signal.aborted) {
      if (end) throw new ConnectError(end.message, end.code);
      if (!pending.length) {
        const news = new Promise((resolve) => (wake = resolve));
        const timer = setTimeout(wake, seconds * 1000);
        await news;
        clearTimeout(timer);
        if (!pending.length && !end && !signal.aborted)
          yield fromJson(SubscribeResponseSchema, { heartbeat: { epoch: "1", lastSeq: String(lastSeq) } });
      }
      const batches = pending;
      pending = [];
      for (const batch of batches) {
        lastSeq = batch.first_seq + batch.deltas.length - 1;
        yield batchMessage(batch);
      }
    }
  } finally {
    unsubscribe();
  }
}

// Reanchor: UNIMPLEMENTED, which is fine. Connect has no health service of its own.
const handler = connectNodeAdapter({ routes: (router) => router.service(LiveQueryService, { subscribe }) });
const file = (name) => (options[name] ? readFileSync(options[name]) : undefined);
const server = options.cert
  ? http2.createSecureServer(
      {
        cert: file("cert"), key: file("key"), ca: file("client-ca"),
        requestCert: Boolean(options["client-ca"]), rejectUnauthorized: Boolean(options["client-ca"]),
      },
      handler,
    )
  : http2.createServer(handler);
const sessions = new Set();
server.on("session", (session) => {
  sessions.add(session);
  session.on("close", () => sessions.delete(session));
});
const [host, port] = [options.listen.slice(0, options.listen.lastIndexOf(":")), options.listen.split(":").at(-1)];
server.listen(Number(port), host, () => {
  console.log(`listening on ${host}:${server.address().port}`);
  table.run(Number(options["changes-per-second"]));
});

function stop() {
  table.stop();
  for (const session of sessions) session.close();
  server.close(() => process.exit(0));
  setTimeout(() => process.exit(0), 2000);
}
process.on("SIGTERM", stop);
process.on("SIGINT", stop);
