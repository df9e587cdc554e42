// The leader of the tabs that share a connection: it has the connection, and tells their windows.

import { Connection } from "./connection.js";
import { Credentials } from "./credentials.js";
import { Feed } from "./feed.js";

/** @typedef {import("./types.js").Row} Row */
/** @typedef {{ rows: readonly Row[], pos: string, status: import("./types.js").Status, error: any }} State */

/**
 * What tabs are told of one query. Without `order`, only the state has changed.
 *
 * @typedef {object} Told
 * @property {string} key
 * @property {string} [to] the tab that asked; else all
 * @property {number} seq one more with every message of a key
 * @property {boolean} full whether all rows are there; else those that changed since the last message
 * @property {string[]} [order] agg_ids
 * @property {Row[]} [rows]
 * @property {string} pos
 * @property {import("./types.js").Status} status
 * @property {any} error
 * @property {Connection["state"]} state
 */

/** How long a tab may take to get a token. */
const TOKEN = 10_000;

/**
 * Leads until the signal, or for ever.
 *
 * @param {any} parts as Connection has them
 * @param {import("./types.js").Transport} transport
 * @param {string} name of channel and lock
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 */
export function lead(parts, transport, name, signal) {
  const leader = new Leader(parts, transport, name);
  return new Promise((resolve) => {
    signal?.addEventListener("abort", () => {
      leader.stop();
      resolve();
    });
  });
}

class Leader {
  #name;
  #channel;
  #connection;
  /** @type {Map<string, Shared>} */
  #shared = new Map();
  /** @type {Map<string, AbortController>} */
  #tabs = new Map();
  #asked = 0;
  /** @type {((token: string) => void) | null} */
  #answered = null;

  /** @param {any} parts @param {import("./types.js").Transport} transport @param {string} name */
  constructor(parts, transport, name) {
    this.#name = name;
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = ({ data }) => this.#heard(data);
    const credentials = new Credentials(parts.token ? () => this.#token() : undefined);
    this.#connection = new Connection({ ...parts, credentials }, transport, true);
    this.#channel.postMessage({ leader: true });
  }

  stop() {
    for (const abort of this.#tabs.values()) abort.abort();
    this.#connection.stop();
    this.#channel.close();
  }

  /** @param {any} message */
  #heard(message) {
    const { tab } = message;
    if (message.hello) this.#channel.postMessage({ leader: true });
    else if (message.want !== undefined) this.#want(tab, message);
    else if (message.drop !== undefined) this.#drop(tab, message.drop);
    else if (message.answer === this.#asked) this.#answered?.(message.token);
  }

  /** @param {string} tab @param {any} message */
  #want(tab, { want: key, query, rows, pos }) {
    this.#watch(tab);
    let shared = this.#shared.get(key);
    if (!shared) {
      shared = new Shared(key, query, (told) => this.#tell(told));
      this.#shared.set(key, shared);
      if (rows.length || pos) shared.feed.restore({ rows, pos });
      this.#connection.open(shared.feed);
    }
    shared.tabs.add(tab);
    this.#tell({ ...shared.whole(), to: tab });
  }

  /** @param {Omit<Told, "state">} told */
  #tell(told) {
    this.#channel.postMessage({ ...told, state: this.#connection.state });
    if (told.status === "failed" || told.status === "ended") this.#shared.delete(told.key);
  }

  /** @param {string} tab @param {string} key */
  #drop(tab, key) {
    const shared = this.#shared.get(key);
    if (!shared?.tabs.delete(tab) || shared.tabs.size) return;
    this.#shared.delete(key);
    this.#connection.close(shared.feed);
  }

  /** The lock of a tab is free once the tab is gone. @param {string} tab */
  #watch(tab) {
    if (this.#tabs.has(tab)) return;
    const abort = new AbortController();
    this.#tabs.set(tab, abort);
    navigator.locks
      .request(`${this.#name} ${tab}`, { signal: abort.signal }, () => {
        this.#tabs.delete(tab);
        for (const key of [...this.#shared.keys()]) this.#drop(tab, key);
      })
      .catch(() => {});
  }

  /** @returns {Promise<string>} */
  #token() {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error("no tab has one")), TOKEN);
      this.#answered = (token) => {
        clearTimeout(timer);
        resolve(token);
      };
      this.#channel.postMessage({ ask: ++this.#asked });
    });
  }
}

/** One query, for all tabs that want it. */
class Shared {
  /** @type {Set<string>} */
  tabs = new Set();

  #key;
  #tell;
  #seq = 0;
  #whole = false;
  /** @type {readonly Row[]} */
  #told = [];
  /** @type {import("./types.js").Status} */
  #status = "connecting";
  /** @type {any} */
  #error = null;

  /** @param {string} key @param {any} query @param {(told: Omit<Told, "state">) => void} tell */
  constructor(key, query, tell) {
    this.#key = key;
    this.#tell = tell;
    this.feed = new Feed(query, (change) => this.#change(change));
  }

  /** All of it, for a tab that has nothing. @returns {Omit<Told, "state">} */
  whole() {
    return { ...this.#message(), full: true, ...(this.#whole && this.#rows(this.feed.rows)) };
  }

  /** @param {import("./view.js").Change} change */
  #change(change) {
    this.#status = change.status ?? this.#status;
    if (change.error !== undefined) this.#error = change.error && { ...change.error };
    this.#whole ||= change.whole === true;
    this.#seq++;
    const { rows } = change;
    if (!this.#whole || !rows) return this.#tell(this.#message());
    const before = new Set(this.#told);
    this.#told = rows;
    const changed = rows.filter((row) => !before.has(row));
    this.#tell({ ...this.#message(), ...this.#rows(rows, changed) });
  }

  #message() {
    return {
      key: this.#key,
      seq: this.#seq,
      full: false,
      pos: this.feed?.pos ?? "",
      status: this.#status,
      error: this.#error,
    };
  }

  /** @param {readonly Row[]} rows @param {readonly Row[]} changed */
  #rows(rows, changed = rows) {
    return { order: rows.map(({ agg_id }) => agg_id), rows: [...changed] };
  }
}
