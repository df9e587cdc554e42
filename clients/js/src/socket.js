// Socket: one WebSocket to the bridge, made again when it is lost.
//
// Laws
// 1. A socket that was dropped is not heard any more.
// 2. Every wait has an end: a socket that says nothing is asked, and dropped if it does not answer.

import { STABLE } from "./backoff.js";
import { LiveError, closeFailure, lost, retryAfterOf } from "./error.js";
import { Unreadable } from "./reducer.js";

/**
 * @typedef {object} Listener
 * @property {() => void} opened
 * @property {(message: any) => void} heard may throw Unreadable
 * @property {(error: LiveError) => boolean} lost returns whether the socket is still of use
 * @property {(error: LiveError) => void} refused there is no way back
 * @property {(now: number) => void} tick every few seconds, while it is open
 */

const TICK = 5_000;
/** The bridge says something every 25 s. */
const SILENT = 35_000;
const ANSWER = 5_000;
const PATIENCE = 15_000;

export class Socket {
  /** Whether it may be sent to. */
  open = false;
  /** Milliseconds after which a bridge that drains is to be asked again; 0: it does not drain. */
  drain = 0;
  /** What the bridge was shown. @type {import("./credentials.js").Token | null} */
  token = null;

  #env;
  #on;
  /** @type {any} */
  #socket = null;
  #openedAt = 0;
  #heardAt = 0;
  #tickedAt = 0;
  /** @type {any} */
  #retry = null;
  /** @type {any} */
  #watch = null;
  /** @type {any} */
  #ticker = null;

  /** @param {import("./connection.js").Env} env @param {Listener} on */
  constructor(env, on) {
    this.#env = env;
    this.#on = on;
  }

  /** Connects, unless that is under way or due. */
  need() {
    if (!this.#socket && !this.#retry) this.#connect();
  }

  /** The machine has slept, or the network is back: find out now whether the socket lives. */
  wake() {
    if (this.open) this.#ping();
    else if (this.#retry) this.#connect();
  }

  stop() {
    this.#drop();
    clearTimeout(this.#retry);
  }

  /** @param {any} message */
  send(message) {
    this.#env.onMessage?.(message, "out");
    this.#socket.send(JSON.stringify(message));
  }

  async #connect() {
    clearTimeout(this.#retry);
    this.#retry = null;
    const pending = (this.#socket = /** @type {any} */ ({}));
    this.#env.opened(false);
    this.#expect(this.#env.patience ?? PATIENCE, "silent");
    try {
      this.token = await this.#env.credentials.get();
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
    this.open = true;
    this.drain = 0;
    this.#openedAt = this.#heardAt = this.#tickedAt = Date.now();
    this.#ticker = setInterval(() => this.#tick(), TICK);
    if (this.token?.text) this.send({ action: "authenticate", token: this.token.text });
    this.#on.opened();
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
      this.#on.heard(message ?? {});
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
    if (code === 4501 && this.#env.credentials.refused(this.token)) {
      this.#drop();
      this.#connect();
    } else if (error.retryable) {
      this.#lose(error, this.open ? (this.drain || code > 1006 ? "" : "early") : "unopened");
    } else {
      this.#drop();
      this.#on.refused(error);
    }
  }

  /** The connection is lost: comes back, unless another transport takes over. @param {LiveError} error */
  #lose(error, trouble = "") {
    const stable = this.open && Date.now() - this.#openedAt > STABLE;
    const drain = this.drain;
    this.#drop();
    if (stable) this.#env.backoff.reset();
    const needed = this.#on.lost(error);
    if (trouble && this.#env.trouble(stable && trouble === "early" ? "" : trouble)) return;
    if (!needed) return;
    const delay = drain || this.#env.backoff.next(retryAfterOf(error));
    this.#retry = setTimeout(() => this.#connect(), delay);
  }

  /** Lets the socket go, without a word to the feeds. */
  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    this.open = false;
    this.drain = 0;
    clearTimeout(this.#watch);
    this.#watch = null;
    clearInterval(this.#ticker);
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
    this.#on.tick(now);
  }

  #ping(patience = ANSWER) {
    if (this.#watch && this.open && this.#heardAt > this.#openedAt) return;
    this.send({ action: "ping" });
    this.#expect(patience, this.#heardAt > this.#openedAt ? "" : "silent");
  }

  /** @param {number} patience @param {string} trouble */
  #expect(patience, trouble) {
    clearTimeout(this.#watch);
    this.#watch = setTimeout(() => this.#lose(lost("the bridge says nothing"), trouble), patience);
  }
}
