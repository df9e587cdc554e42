/** A tier on @grpc/grpc-js: node tier.js --listen 127.0.0.1:50051. */
import { loadPackageDefinition, Server, ServerCredentials } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { HealthImplementation } from "grpc-health-check";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Query, Refused, status, Table } from "./ticks.js";

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
const proto = fileURLToPath(new URL("../../../proto", import.meta.url));
const definition = loadSync("livequery/v1/livequery.proto", {
  includeDirs: [proto], keepCase: true, longs: String, enums: String, defaults: true, oneofs: true,
});
const { LiveQueryService } = loadPackageDefinition(definition).livequery.v1;

const table = new Table();
let names = 0;

/** @param {import("@grpc/grpc-js").ServerWritableStream<any, any>} call */
function subscribe(call) {
  let query;
  try {
    query = new Query(call.request.query ?? {});
  } catch (error) {
    call.emit("error", error instanceof Refused ? error : new Refused(status.INTERNAL, String(error)));
    return;
  }
  const seconds = Math.min(Math.max(Number(call.request.heartbeat_interval?.seconds ?? 0) || 15, 1), 60);
  call.write({ started: { subscription_id: `s${++names}`, heartbeat_interval: { seconds } } });

  let lastSeq = 0;
  let over = false;
  const heartbeat = setInterval(() => {
    if (!call.writableLength) call.write({ heartbeat: { epoch: 1, last_seq: lastSeq } });
  }, seconds * 1000);
  const end = (/** @type {Refused} */ error) => {
    if (over) return;
    over = true;
    clearInterval(heartbeat);
    unsubscribe();
    if (error) call.emit("error", error); // grpc-js makes the status of it
  };
  const send = (batch) => {
    if (over) return;
    if (call.writableLength >= PENDING) return end(new Refused(status.ABORTED, "the consumer does not read"));
    lastSeq = batch.first_seq + batch.deltas.length - 1;
    call.write({ batch });
  };
  let unsubscribe = () => {};
  unsubscribe = table.subscribe(query, send, end);
  call.on("cancelled", () => end()); // the unsubscribe
}

const server = new Server();
server.addService(LiveQueryService.service, { Subscribe: subscribe }); // Reanchor: UNIMPLEMENTED, which is fine
const health = new HealthImplementation({ "": "SERVING", "livequery.v1.LiveQueryService": "SERVING" });
health.addToServer(server);

const clientCa = options["client-ca"] ? readFileSync(options["client-ca"]) : null;
const credentials = options.cert
  ? ServerCredentials.createSsl(
      clientCa,
      [{ cert_chain: readFileSync(options.cert), private_key: readFileSync(options.key) }],
      clientCa !== null, // a client without a certificate is refused
    )
  : ServerCredentials.createInsecure();
server.bindAsync(options.listen, credentials, (error, port) => {
  if (error) throw error;
  console.log(`listening on ${options.listen.slice(0, options.listen.lastIndexOf(":"))}:${port}`);
  table.run(Number(options["changes-per-second"]));
});

function stop() {
  for (const name of ["", "livequery.v1.LiveQueryService"]) health.setStatus(name, "NOT_SERVING"); // first
  table.stop();
  server.tryShutdown(() => process.exit(0));
  setTimeout(() => process.exit(0), 2000); // the health service's streams have no end
}
process.on("SIGTERM", stop);
process.on("SIGINT", stop);
