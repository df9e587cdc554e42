// WsTransport: all queries of a client on one WebSocket, in v1 of the protocol.
//
// Laws
// 1. Every subscription gets a name of its own: what still comes for an older one is not heard.
// 2. A socket that was dropped is not heard any more.
// 3. Every wait has an end: a socket that says nothing is asked, and dropped if it does not answer.

import { Backoff, STABLE } from "./backoff.js";
import { LiveError, closeFailure, endedFailure, failure, lost, retryAfterOf } from "./error.js";
import { Unreadable } from "./reducer.js";

/** @typedef {import("./feed.js").Feed} Feed */
/** @typedef {import("./types.js").Message} Message */
/** @typedef {{ feed: Feed, sub: string, backoff: Backoff, error: LiveError | null, asked: number, timer?: any }} Entry */

const MOST_BYTES = 65_536;
const TICK = 5_000;
/** The bridge says something every 25 s. */
const SILENT = 35_000;
const ANSWER = 5_000;
/** From a command to its `ready`. The bridge itself gives up after 20 s. */
const READY = 30_000;
const PATIENCE = 15_000;

export class WsTransport {
  #env;
  /** @type {Map<Feed, Entry>} */
  #entries = new Map();
  /** @type {Map<string, Entry>} */
  #subs = new Map();
  /** @type {any} */
  #socket = null;
  #open = false;
  #count = 0;
  #openedAt = 0;
  #heardAt = 0;
  #tickedAt = 0;
  #drain = 0;
  /** @type {any} */
  #retry = null;
  /** @type {any} */
  #watch = null;
  /** @type {any} */
  #ticker = null;
  /** @type {import("./credentials.js").Token | null} */
  #token = null;

  /** @param {import("./connection.js").Env} env */
  constructor(env) {
    this.#env = env;
  }

  /** @param {Feed} feed */
  open(feed) {
    const entry = { feed, sub: "", backoff: new Backoff(), error: null, asked: 0 };
    this.#entries.set(feed, entry);
    if (this.#open) this.#subscribe(entry);
    else if (!this.#socket && !this.#retry) this.#connect();
  }

  /** @param {Feed} feed */
  move(feed) {
    const entry = this.#entries.get(feed);
    if (entry && feed.attached && !feed.waiting) this.#reanchor(entry);
  }

  /** @param {Feed} feed */
  close(feed) {
    const entry = this.#entries.get(feed);
    if (!entry) return;
    this.#leave(entry);
    this.#entries.delete(feed);
  }

  /** The machine has slept, or the network is back: find out now whether the socket lives. */
  wake() {
    if (this.#open) this.#ping();
    else if (this.#retry) this.#connect();
  }

  stop() {
    this.#drop();
    clearTimeout(this.#retry);
    for (const { timer } of this.#entries.values()) clearTimeout(timer);
    this.#entries.clear();
  }

  // ------------------------------------------------------------ the socket

  async #connect() {
    clearTimeout(this.#retry);
    this.#retry = null;
    const pending = (this.#socket = /** @type {any} */ ({}));
    this.#env.opened(false);
    this.#expect(this.#env.patience ?? PATIENCE, "silent");
    try {
      this.#token = await this.#env.credentials.get();
      if (pending !== this.#socket) return;
      const socket = (this.#socket = new this.#env.WebSocket(
        `${this.#env.base.replace(/^http/, "ws")}/ws`,
        ["livequery.v1"],
      ));
      // Every handler asks whose it is: a dropped socket may still deliver what it holds.
      const mine = (/** @type {(event: any) => void} */ handle) => (/** @type {any} */ event) =>
        socket === this.#socket && handle(event);
      socket.onopen = mine(() => this.#opened());
      socket.onmessage = mine(({ data }) => this.#heard(data));
      socket.onclose = mine(({ code, reason }) => this.#closed(code, reason));
      socket.onerror = () => {}; // what it was, `close` says
    } catch (thrown) {
      if (pending !== this.#socket) return;
      this.#lose(thrown instanceof LiveError ? thrown : lost(String(thrown)), "unopened");
    }
  }

  #opened() {
    if (this.#socket.protocol !== "livequery.v1") {
      this.#lose(lost("the server does not speak livequery.v1"), "silent");
      return;
    }
    this.#open = true;
    this.#drain = 0;
    this.#openedAt = this.#heardAt = this.#tickedAt = Date.now();
    this.#ticker = setInterval(() => this.#tick(), TICK);
    if (this.#token?.text) this.#send({ action: "authenticate", token: this.#token.text });
    for (const entry of this.#entries.values()) if (!entry.timer) this.#subscribe(entry);
    this.#ping(this.#env.patience ?? PATIENCE); // the first message shows that nothing holds them back
  }

  /** @param {any} data */
  #heard(data) {
    this.#heardAt = Date.now();
    clearTimeout(this.#watch);
    this.#watch = null;
    try {
      const message = JSON.parse(data);
      this.#env.onMessage?.(message, "in");
      this.#handle(message ?? {});
    } catch (thrown) {
      const known = thrown instanceof Unreadable || thrown instanceof SyntaxError;
      if (!known) console.error(thrown);
      this.#lose(lost(`an unreadable message: ${/** @type {any} */ (thrown).message}`));
    }
  }

  /** @param {number} code @param {string} reason */
  #closed(code, reason) {
    const error = closeFailure(code, reason);
    if (code === 4001) this.#env.credentials.forget();
    if (code === 4501 && this.#env.credentials.refused(this.#token)) {
      this.#drop();
      this.#connect();
    } else if (error.retryable) {
      this.#lose(error, this.#open ? (this.#drain || code > 1006 ? "" : "early") : "unopened");
    } else {
      this.#drop();
      for (const entry of [...this.#entries.values()]) this.#fail(entry, error);
    }
  }

  /** The connection is lost: comes back, unless another transport takes over. @param {LiveError} error */
  #lose(error, trouble = "") {
    const stable = this.#open && Date.now() - this.#openedAt > STABLE;
    const drain = this.#drain;
    this.#drop();
    if (stable) this.#env.backoff.reset();
    for (const { feed, timer } of this.#entries.values()) if (!timer) feed.lost(error);
    if (trouble && this.#env.trouble(stable && trouble === "early" ? "" : trouble)) return;
    if (!this.#entries.size) return;
    const delay = drain || this.#env.backoff.next(retryAfterOf(error));
    this.#retry = setTimeout(() => this.#connect(), delay);
  }

  /** Lets the socket go, without a word to the feeds. */
  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    this.#open = false;
    this.#drain = 0;
    clearTimeout(this.#watch);
    this.#watch = null;
    clearInterval(this.#ticker);
    this.#subs.clear();
    this.#env.opened(false);
    try {
      socket?.close?.(1000);
    } catch {
      // It never was one.
    }
  }

  #tick() {
    const now = Date.now();
    const slept = now - this.#tickedAt > 3 * TICK;
    this.#tickedAt = now;
    if (slept || now - this.#heardAt > SILENT) this.#ping();
    for (const entry of this.#entries.values()) {
      if (entry.feed.waiting && now - entry.asked > READY) this.#again(entry);
    }
  }

  #ping(patience = ANSWER) {
    if (this.#watch && this.#open && this.#heardAt > this.#openedAt) return;
    this.#send({ action: "ping" });
    this.#expect(patience, this.#heardAt > this.#openedAt ? "" : "silent");
  }

  /** @param {number} patience @param {string} trouble */
  #expect(patience, trouble) {
    clearTimeout(this.#watch);
    this.#watch = setTimeout(() => this.#lose(lost("the bridge says nothing"), trouble), patience);
  }

  /** @param {any} message */
  #send(message) {
    this.#env.onMessage?.(message, "out");
    this.#socket.send(JSON.stringify(message));
  }

  // ------------------------------------------------------------ subscriptions

  /** @param {Entry} entry */
  #subscribe(entry) {
    const { feed } = entry;
    clearTimeout(entry.timer);
    entry.timer = undefined;
    entry.sub = String(++this.#count);
    entry.error = null;
    entry.asked = Date.now();
    this.#subs.set(entry.sub, entry);
    const { pos, known } = feed.ask();
    const command = {
      action: "subscribe",
      sub: entry.sub,
      query: feed.query,
      ...(pos && { resume: pos }),
      ...(known && known.length <= 1000 && { known }),
    };
    if (new TextEncoder().encode(JSON.stringify(command)).length > MOST_BYTES) delete command.known;
    this.#send(command);
  }

  /** @param {Entry} entry */
  #reanchor(entry) {
    const { cursor, limit } = entry.feed.query;
    entry.asked = Date.now();
    entry.feed.asking();
    this.#send({ action: "reanchor", sub: entry.sub, cursor: cursor ?? null, limit: limit ?? 0 });
  }

  /** @param {Entry} entry */
  #leave(entry) {
    clearTimeout(entry.timer);
    if (this.#open && this.#subs.delete(entry.sub)) {
      this.#send({ action: "unsubscribe", sub: entry.sub });
    }
  }

  /** Subscribes anew, after a while. @param {Entry} entry */
  #again(entry, least = 0) {
    this.#leave(entry);
    entry.timer = setTimeout(() => {
      entry.timer = undefined;
      if (this.#open) this.#subscribe(entry);
    }, entry.backoff.next(least));
  }

  /** @param {Entry} entry @param {LiveError | null} error */
  #fail(entry, error) {
    this.#entries.delete(entry.feed);
    this.#leave(entry);
    entry.feed.end(error);
    this.#env.closed(entry.feed);
  }

  /** @param {Entry} entry @param {LiveError} error */
  async #refuse(entry, error) {
    const { feed } = entry;
    if (feed.refused(error)) {
      if (!feed.attached) this.#again(entry);
      else if (feed.moved) this.#reanchor(entry);
    } else if (error.status === 401 && this.#env.credentials.refused(this.#token)) {
      feed.lost(error);
      await this.#authenticate();
      this.#again(entry);
    } else if (error.retryable) {
      feed.lost(error);
      this.#again(entry, retryAfterOf(error));
    } else this.#fail(entry, error);
  }

  async #authenticate() {
    const socket = this.#socket;
    try {
      const token = await this.#env.credentials.get();
      if (socket !== this.#socket || !this.#open) return;
      this.#token = token;
      this.#send({ action: "authenticate", token: token.text });
    } catch {
      // The old one stands while it lasts; at its end the socket is closed with 4001.
    }
  }

  // ------------------------------------------------------------ messages

  /** @param {Message} message */
  #handle(message) {
    this.#env.works();
    if (!this.#entries.size) return;
    const entry = this.#subs.get(/** @type {string} */ (message.sub));
    const feed = entry?.feed;
    switch (message.type) {
      case "frames":
        return feed?.frames(message.frames, message.pos);
      case "ready":
        if (!entry) return;
        if (!entry.feed.ready(message)) return this.#again(entry);
        entry.backoff.reset();
        this.#env.credentials.accepted();
        if (entry.feed.moved) this.#reanchor(entry);
        return;
      case "stale":
        return feed?.stale();
      case "live":
        return feed?.live();
      case "beat":
        for (const [sub, digest] of Object.entries(message.subs ?? {})) {
          const one = this.#subs.get(sub);
          if (one && !one.feed.beat(digest)) this.#again(one);
        }
        return;
      case "error": {
        const error = failure(Number(message.status) || 0, message);
        if (!entry) {
          if (error.status === 401 && this.#env.credentials.refused(this.#token)) this.#authenticate();
        } else if (entry.feed.waiting) this.#refuse(entry, error);
        else entry.error = error; // `ended` follows, and ends it
        return;
      }
      case "ended":
        if (entry) this.#ended(entry, message.reason);
        return;
      case "authenticated":
        return this.#env.credentials.accepted();
      case "auth_expiring":
        this.#env.credentials.forget();
        this.#authenticate();
        return;
      case "drain":
        this.#drain = Math.max(1, Number(message.reconnect_after_ms) || 0);
    }
  }

  /** @param {Entry} entry @param {string | undefined} reason */
  #ended(entry, reason) {
    this.#subs.delete(entry.sub);
    if (reason === "completed") return this.#fail(entry, null);
    const error = entry.error ?? endedFailure(reason);
    entry.feed.attached = entry.feed.waiting = false;
    this.#refuse(entry, error);
  }
}
