/**
 * The table and the windows over it: what stands here for your engine. Knows no gRPC server.
 *
 * Invariant: a change makes and numbers its group in the same turn of the event loop, so nothing
 * between here and the bridge can lose a delta unseen. Rows are replaced, never altered.
 *
 * Messages are plain objects as proto-loader takes them: enums by name, 64-bit integers as text.
 *
 * @typedef {{id: string, symbol: string, price: number, size: number}} Values
 * @typedef {{version: number, values: Values}} Row
 * @typedef {(values: Values) => boolean} Test
 */
import { createInterface } from "node:readline";

/** gRPC's status codes, as far as they are needed here. */
export const status = { INVALID_ARGUMENT: 3, NOT_FOUND: 5, ABORTED: 10, INTERNAL: 13, UNAVAILABLE: 14 };

const ENTITY = "ticks";
const COLUMNS = { id: "string", symbol: "string", price: "number", size: "number" };
const SYMBOLS = ["ACME", "BOLT", "CORE", "DUNE"];
const COMPARE = {
  OPERATOR_EQ: (a, b) => a == b, // loose: a number equals the BigInt of the same value
  OPERATOR_NE: (a, b) => a != b,
  OPERATOR_GT: (a, b) => a > b,
  OPERATOR_GTE: (a, b) => a >= b,
  OPERATOR_LT: (a, b) => a < b,
  OPERATOR_LTE: (a, b) => a <= b,
};

/** A call's end: what the server makes a status of. */
export class Refused extends Error {
  constructor(code, details) {
    super(details);
    this.code = code;
    this.details = details;
  }
}
const bad = (text) => new Refused(status.INVALID_ARGUMENT, text);

function known(column) {
  if (!Object.hasOwn(COLUMNS, column)) throw bad(`no column ${column}`);
  return column;
}

/** Return a value that can be compared with a column; 64-bit integers are BigInts. */
function plain(column, value) {
  const got =
    value.kind === "int_value" || value.kind === "uint_value" ? BigInt(value[value.kind]) : value[value.kind];
  const type = typeof got === "bigint" ? "number" : typeof got;
  if (value.kind === "null_value" || value.kind === "json_value" || type !== COLUMNS[column])
    throw bad(`${column} is compared with another type`);
  return got;
}

/** @returns {Test} */
function condition({ kind, comparison, or_group: group }) {
  if (kind === "or_group") {
    const members = group.conditions.map(condition);
    return (values) => members.some((test) => test(values));
  }
  const column = known(comparison.column);
  if (comparison.operator === "OPERATOR_IN" || comparison.operator === "OPERATOR_NOT_IN") {
    const listed = comparison.list.values.map((value) => plain(column, value));
    const wanted = comparison.operator === "OPERATOR_IN";
    return (values) => listed.some((value) => values[column] == value) === wanted;
  }
  const compare = COMPARE[comparison.operator];
  if (!compare || !comparison.value) throw bad(`operator ${comparison.operator} is not implemented`);
  const value = plain(column, comparison.value);
  return (values) => compare(values[column], value);
}

/** A LiveQuery, checked: which rows, in what order, from where, how many. */
export class Query {
  constructor({ entity, where, sort, limit, cursor, mode }) {
    if (entity !== ENTITY) throw new Refused(status.NOT_FOUND, `there is only ${ENTITY}`);
    if (mode === "MODE_STREAMED" || limit < 1) throw bad("maintained windows of at least one row only");
    this.limit = limit;
    this.sort = [...sort.map(({ column, desc }) => ({ column: known(column), desc })), { column: "id", desc: false }];
    this.where = where.map(condition);
    this.after = null;
    if (cursor?.values.length) {
      if (cursor.values.length !== this.sort.length) throw bad("cursor: one value per sort key, then the id");
      this.after = cursor.values.map((value, at) => plain(this.sort[at].column, value));
    }
  }

  /** @param {Map<string, Row>} rows @returns {Row[]} the first rows that match, behind the cursor */
  window(rows) {
    return [...rows.values()]
      .filter(({ values }) => this.where.every((test) => test(values)))
      .filter((row) => !this.after || this.compare(this.key(row), this.after) > 0)
      .sort((a, b) => this.compare(this.key(a), this.key(b)))
      .slice(0, this.limit);
  }

  key(row) {
    return this.sort.map(({ column }) => row.values[column]);
  }

  compare(a, b) {
    for (const [at, { desc }] of this.sort.entries())
      if (a[at] != b[at]) return a[at] > b[at] !== desc ? 1 : -1;
    return 0;
  }
}

/** One window. `onBatch` is called for each batch, in the turn of its change. */
class Subscription {
  constructor(query, rows, onBatch, onEnd) {
    this.query = query;
    this.onBatch = onBatch;
    this.onEnd = onEnd;
    this.seq = 0;
    this.window = query.window(rows);
    const reset = { op: "DELTA_OP_RESET", reset: { reason: "RESET_REASON_INITIAL", row_count: this.window.length } };
    this.#push([reset, ...this.window.map((row, at) => this.#delta("DELTA_OP_ENTER", row, -1, at))], true);
  }

  /** Send the group of one changed row: exactly the forms of docs/semantics.md. */
  change(rows, id, streamId) {
    const old = this.window;
    const now = (this.window = this.query.window(rows));
    const [was, at] = [old, now].map((window) => window.findIndex((row) => row.values.id === id));
    const deltas = [];
    if (was >= 0 && at >= 0) {
      const moved = this.query.compare(this.query.key(old[was]), this.query.key(now[at])) !== 0;
      deltas.push(this.#delta(moved ? "DELTA_OP_MOVE" : "DELTA_OP_UPDATE", now[at], was, at));
    } else if (was >= 0) {
      deltas.push(leave(id, was));
      // The next row is promoted.
      if (now.length === old.length) deltas.push(this.#delta("DELTA_OP_ENTER", now.at(-1), -1, now.length - 1));
    } else if (at >= 0) {
      deltas.push(this.#delta("DELTA_OP_ENTER", now[at], -1, at));
      // At this moment there is one row more than the limit.
      if (old.length === this.query.limit) deltas.push(leave(old.at(-1).values.id, old.length));
    }
    const ms = Date.now();
    const time = { seconds: Math.floor(ms / 1000), nanos: (ms % 1000) * 1e6 };
    if (deltas.length) this.#push(deltas.map((delta) => ({ ...delta, stream_id: streamId, at: time })), false);
  }

  #push(deltas, complete) {
    const first = this.seq + 1;
    this.seq += deltas.length; // counts deltas, not batches
    this.onBatch({ epoch: 1, first_seq: first, deltas, snapshot_complete: complete });
  }

  #delta(op, row, old, now) {
    const values = this.query.key(row).map((value) =>
      typeof value === "string" ? { string_value: value } : { int_value: value },
    );
    const text = Buffer.from(JSON.stringify(row.values));
    return {
      op, agg_id: row.values.id, version: row.version, row: text, old_index: old, new_index: now, cursor: { values },
    };
  }
}

const leave = (id, at) => ({ op: "DELTA_OP_LEAVE", agg_id: id, old_index: at, new_index: -1 });
const below = (number) => Math.floor(Math.random() * number);

/** Rows, and everybody who watches them. */
export class Table {
  /** @type {Map<string, Row>} */ #rows = new Map();
  /** @type {Set<Subscription>} */ #subscriptions = new Set();
  #start = Date.now(); // so that versions and stream ids go up over a restart too
  #changes = 0;
  #made = 0;
  #timer = null;

  constructor() {
    for (let at = 0; at < 36; at++) this.put(this.#newRow());
  }

  /** Return the unsubscribe. */
  subscribe(query, onBatch, onEnd) {
    const subscription = new Subscription(query, this.#rows, onBatch, onEnd);
    this.#subscriptions.add(subscription);
    return () => this.#subscriptions.delete(subscription);
  }

  put(values) {
    this.#rows.set(values.id, { version: this.#start + ++this.#changes, values });
    this.#changed(values.id);
  }

  delete(id) {
    if (!this.#rows.delete(id)) return;
    this.#changes++;
    this.#changed(id);
  }

  /** End all streams with UNAVAILABLE. OK would end the browsers' streams for good. */
  stop() {
    for (const { onEnd } of this.#subscriptions) onEnd(new Refused(status.UNAVAILABLE, "stopping"));
  }

  /** Change by itself, and by commands on stdin. */
  run(rate) {
    this.#pace(rate);
    createInterface({ input: process.stdin }).on("line", (line) => {
      const [command, ...words] = line.trim().split(/\s+/);
      if (command === "rate") this.#pace(Number(words[0]));
      else if (command === "delete") this.delete(words[0]);
      else if (command === "put" && words.length === 4)
        this.put({ id: words[0], symbol: words[1], price: Number(words[2]), size: Number(words[3]) });
    });
  }

  #pace(rate) {
    clearInterval(this.#timer);
    if (rate > 0) this.#timer = setInterval(() => this.#changeSomething(), 1000 / rate);
  }

  /** Mostly prices; now and then a row comes or goes. */
  #changeSomething() {
    const dice = Math.random();
    const picked = [...this.#rows.values()][below(this.#rows.size)].values;
    if (dice < 0.1 && this.#rows.size < 48) this.put(this.#newRow());
    else if (dice < 0.2 && this.#rows.size > 24) this.delete(picked.id);
    else {
      const column = dice < 0.4 ? "size" : "price";
      this.put({ ...picked, [column]: Math.max(1, picked[column] + below(41) - 20) });
    }
  }

  #newRow() {
    return { id: `t${++this.#made}`, symbol: SYMBOLS[below(4)], price: 100 + below(900), size: 1 + below(99) };
  }

  #changed(id) {
    for (const subscription of this.#subscriptions) subscription.change(this.#rows, id, `${this.#start}-${this.#changes}`);
  }
}
