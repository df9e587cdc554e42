// SharedConnection: one connection for all tabs of an origin.
//
// One of them leads: a SharedWorker where there is one, else a tab. Who leads holds a Web Lock, for
// which every tab queues: the lock of a leader that dies goes to a tab, which leads at once. Tabs tell
// their wants on a BroadcastChannel, and are told the windows. A tab holds a lock of its own, by which
// the leader sees it end.

import { failure } from "./error.js";
import { watchPage } from "./page.js";
import { rowsFrom } from "./reducer.js";
import { lead } from "./share-leader.js";

/** @typedef {import("./feed.js").Feed} Feed */
/** @typedef {import("./types.js").Row} Row */

/**
 * What this tab wants of the leader: one query, for any number of feeds.
 *
 * @typedef {object} Want
 * @property {any} query
 * @property {Set<Feed>} feeds
 * @property {number} seq of the last message; -1: the whole state is needed
 * @property {import("./share-leader.js").State | null} state
 */

const PROTOCOL = 1;
/** How long a SharedWorker may take to lead. */
const WORKER = 1_000;

export class SharedConnection {
  /** @type {"connecting" | "open" | "closed"} */
  #state = "connecting";
  #parts;
  #transport;
  #name;
  #tab = `${Math.random().toString(36).slice(2)}${Date.now().toString(36)}`;
  #channel;
  /** @type {Map<string, Want>} */
  #wants = new Map();
  /** @type {Map<Feed, string>} */
  #keys = new Map();
  #led = false;
  #resting = false;
  #stop = new AbortController();
  /** @type {AbortController | null} */
  #queue = null;
  /** @type {any} */
  #worker = null;
  #unwatch;

  /**
   * @param {any} parts as Connection has them
   * @param {import("./types.js").Transport} transport
   */
  constructor(parts, transport) {
    this.#parts = parts;
    this.#transport = transport;
    // Versions of the library that do not understand each other must not meet.
    this.#name = `livequery ${PROTOCOL} ${parts.base} ${transport} ${parts.token ? "token" : ""}`;
    this.#channel = new BroadcastChannel(this.#name);
    this.#channel.onmessage = ({ data }) => this.#heard(data);
    this.#unwatch = watchPage({ rest: () => this.#rest(), wake: () => this.#wake() });
    this.#live();
  }

  /** @returns {"idle" | "connecting" | "open" | "closed"} */
  get state() {
    return this.#state !== "closed" && !this.#wants.size ? "idle" : this.#state;
  }

  /** @param {Feed} feed */
  open(feed) {
    const key = JSON.stringify(feed.query);
    this.#keys.set(feed, key);
    feed.asking();
    const want = this.#wants.get(key);
    if (want) {
      want.feeds.add(feed);
      if (want.state) feed.adopt(want.state);
      return;
    }
    this.#wants.set(key, { query: feed.query, feeds: new Set([feed]), seq: -1, state: null });
    this.#ask(key);
  }

  /** @param {Feed} feed */
  move(feed) {
    this.#leave(feed);
    this.open(feed);
  }

  /** @param {Feed} feed */
  close(feed) {
    this.#leave(feed);
  }

  wake() {
    this.#wake();
  }

  stop() {
    this.#state = "closed";
    this.#unwatch();
    for (const key of this.#wants.keys()) this.#send({ drop: key });
    this.#stop.abort();
    this.#queue?.abort();
    // What is being posted has to get out first.
    setTimeout(() => this.#channel.close());
  }

  /** @param {any} message */
  #send(message) {
    this.#channel.postMessage({ tab: this.#tab, ...message });
  }

  /** Takes the lock of this tab, then looks for a leader. */
  #live() {
    const held = navigator.locks.request(`${this.#name} ${this.#tab}`, { signal: this.#stop.signal }, () => {
      this.#send({ hello: true });
      const custom = this.#parts.custom;
      const wait = !custom && this.#startWorker() ? WORKER : 0;
      setTimeout(() => this.#queueToLead(), wait);
      return new Promise((resolve) => this.#stop.signal.addEventListener("abort", resolve));
    });
    held.catch(() => {});
  }

  #startWorker() {
    if (typeof SharedWorker !== "function") return false;
    try {
      const { base } = this.#parts;
      const name = JSON.stringify({ base, transport: this.#transport, name: this.#name, token: Boolean(this.#parts.token) });
      this.#worker = new SharedWorker(new URL("./share-worker.js", import.meta.url), { type: "module", name });
      this.#worker.onerror = () => this.#queueToLead();
      return true;
    } catch {
      return false; // a script of another origin
    }
  }

  #queueToLead() {
    if (this.#queue || this.#resting || this.#stop.signal.aborted) return;
    const queue = (this.#queue = new AbortController());
    const { signal } = queue;
    navigator.locks
      .request(this.#name, { signal }, () => lead(this.#parts, this.#transport, this.#name, signal))
      .catch(() => {});
  }

  // ------------------------------------------------------------ wants

  /** @param {string} key */
  #ask(key) {
    const want = this.#wants.get(key);
    if (!want || !this.#led || this.#resting) return;
    const [feed] = want.feeds;
    want.seq = -1;
    this.#send({ want: key, query: want.query, rows: feed.rows, pos: feed.pos });
  }

  /** @param {Feed} feed */
  #leave(feed) {
    const key = this.#keys.get(feed);
    this.#keys.delete(feed);
    const want = key === undefined ? undefined : this.#wants.get(key);
    if (!want?.feeds.delete(feed) || want.feeds.size) return;
    this.#wants.delete(/** @type {string} */ (key));
    this.#send({ drop: key });
  }

  #rest() {
    if (this.#resting) return;
    this.#resting = true;
    this.#queue?.abort(); // a frozen tab can't lead
    this.#queue = null;
    for (const [key, { feeds }] of this.#wants) {
      this.#send({ drop: key });
      for (const feed of feeds) feed.rest();
    }
  }

  #wake() {
    if (!this.#resting) return;
    this.#resting = false;
    this.#send({ hello: true });
    setTimeout(() => this.#queueToLead(), this.#worker ? WORKER : 0);
  }

  // ------------------------------------------------------------ what the leader says

  /** @param {any} message */
  async #heard(message) {
    if (message.leader) {
      this.#led = true;
      for (const key of this.#wants.keys()) this.#ask(key);
    } else if (message.ask !== undefined && this.#parts.token) {
      const token = await Promise.resolve(this.#parts.token()).catch(() => undefined);
      if (token !== undefined) this.#send({ answer: message.ask, token });
    } else if (message.key !== undefined && (!message.to || message.to === this.#tab)) {
      this.#told(message);
    }
  }

  /** @param {import("./share-leader.js").Told} told */
  #told({ key, seq, full, order, rows, pos, status, error, state }) {
    const want = this.#wants.get(key);
    if (!want || this.#resting) return;
    this.#state = state === "open" ? state : "connecting";
    if (!full && want.seq < 0) return; // the whole state is on its way
    if (!full && seq !== want.seq + 1) return this.#ask(key);
    want.seq = seq;
    const failed = error && failure(error.status, error);
    if (status === "failed" || status === "ended") return this.#over(key, want, failed);
    if (order && rows) {
      const held = want.state?.rows ?? [...want.feeds][0].rows;
      const list = assemble(order, rows, held);
      want.state = { rows: list, pos, status, error: failed };
      for (const feed of want.feeds) feed.adopt(want.state);
    } else {
      if (want.state) want.state = { ...want.state, status, error: failed };
      for (const feed of want.feeds) feed.tell({ status, error: failed });
    }
  }

  /** @param {string} key @param {Want} want @param {any} error */
  #over(key, want, error) {
    this.#wants.delete(key);
    for (const feed of want.feeds) {
      this.#keys.delete(feed);
      if (error && feed.refused(error)) this.open(feed);
      else feed.end(error);
    }
  }
}

/**
 * Puts rows in order: those that have changed, and those held.
 *
 * @param {string[]} order @param {Row[]} changed @param {readonly Row[]} held
 */
function assemble(order, changed, held) {
  const byId = new Map(held.map((row) => [row.agg_id, row]));
  for (const row of changed) byId.set(row.agg_id, row);
  return rowsFrom(order.map((id) => byId.get(id)), held);
}
