// WsTransport: all queries of a client on one WebSocket, in v1 of the protocol.
//
// Every subscription gets a name of its own: what still comes for an older one is not heard.

import { Backoff } from "./backoff.js";
import { endedFailure, failure, retryAfterOf } from "./error.js";
import { Socket } from "./socket.js";

/** @typedef {import("./feed.js").Feed} Feed */
/** @typedef {import("./types.js").Message} Message */
/** @typedef {{ feed: Feed, sub: string, backoff: Backoff, error: import("./error.js").LiveError | null, asked: number, timer?: any }} Entry */

const MOST_BYTES = 65_536;
/** From a command to its `ready`. The bridge itself gives up after 20 s. */
const READY = 30_000;

export class WsTransport {
  #env;
  #socket;
  /** @type {Map<Feed, Entry>} */
  #entries = new Map();
  /** @type {Map<string, Entry>} */
  #subs = new Map();
  #count = 0;

  /** @param {import("./connection.js").Env} env */
  constructor(env) {
    this.#env = env;
    this.#socket = new Socket(env, {
      opened: () => this.#opened(),
      heard: (message) => this.#handle(message),
      lost: (error) => this.#lost(error),
      refused: (error) => this.#refused(error),
      tick: (now) => this.#tick(now),
    });
  }

  /** @param {Feed} feed */
  open(feed) {
    const entry = { feed, sub: "", backoff: new Backoff(), error: null, asked: 0 };
    this.#entries.set(feed, entry);
    if (this.#socket.open) this.#subscribe(entry);
    else this.#socket.need();
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

  wake() {
    this.#socket.wake();
  }

  stop() {
    this.#socket.stop();
    for (const { timer } of this.#entries.values()) clearTimeout(timer);
    this.#entries.clear();
  }

  // ------------------------------------------------------------ the socket

  #opened() {
    this.#subs.clear();
    this.#count = 0; // a bridge prints a group once for all who have the same names
    for (const entry of this.#entries.values()) if (!entry.timer) this.#subscribe(entry);
  }

  /** @param {import("./error.js").LiveError} error */
  #lost(error) {
    this.#subs.clear();
    for (const { feed, timer } of this.#entries.values()) if (!timer) feed.lost(error);
    return this.#entries.size > 0;
  }

  /** @param {import("./error.js").LiveError} error */
  #refused(error) {
    this.#subs.clear();
    for (const entry of [...this.#entries.values()]) this.#fail(entry, error);
  }

  /** @param {number} now */
  #tick(now) {
    for (const entry of this.#entries.values()) {
      if (entry.feed.waiting && now - entry.asked > READY) this.#again(entry);
    }
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
    this.#socket.send(command);
  }

  /** @param {Entry} entry */
  #reanchor(entry) {
    const { cursor, limit } = entry.feed.query;
    entry.asked = Date.now();
    entry.feed.asking();
    this.#socket.send({ action: "reanchor", sub: entry.sub, cursor: cursor ?? null, limit: limit ?? 0 });
  }

  /** @param {Entry} entry */
  #leave(entry) {
    clearTimeout(entry.timer);
    if (this.#socket.open && this.#subs.delete(entry.sub)) {
      this.#socket.send({ action: "unsubscribe", sub: entry.sub });
    }
  }

  /** Subscribes anew, after a while. @param {Entry} entry */
  #again(entry, least = 0) {
    this.#leave(entry);
    entry.timer = setTimeout(() => {
      entry.timer = undefined;
      if (this.#socket.open) this.#subscribe(entry);
    }, entry.backoff.next(least));
  }

  /** @param {Entry} entry @param {import("./error.js").LiveError | null} error */
  #fail(entry, error) {
    this.#entries.delete(entry.feed);
    this.#leave(entry);
    entry.feed.end(error);
    this.#env.closed(entry.feed);
  }

  /** @param {Entry} entry @param {import("./error.js").LiveError} error */
  async #refuse(entry, error) {
    const { feed } = entry;
    if (feed.refused(error)) {
      if (!feed.attached) this.#again(entry);
      else if (feed.moved) this.#reanchor(entry);
    } else if (error.status === 401 && this.#env.credentials.refused(this.#socket.token)) {
      feed.lost(error);
      await this.#authenticate();
      this.#again(entry);
    } else if (error.retryable) {
      feed.lost(error);
      this.#again(entry, retryAfterOf(error));
    } else this.#fail(entry, error);
  }

  async #authenticate() {
    try {
      const token = await this.#env.credentials.get();
      if (!this.#socket.open) return;
      this.#socket.token = token;
      this.#socket.send({ action: "authenticate", token: token.text });
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
          if (error.status === 401 && this.#env.credentials.refused(this.#socket.token)) this.#authenticate();
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
        this.#socket.drain = Math.max(1, Number(message.reconnect_after_ms) || 0);
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
