// Connection: which transport carries a client's feeds, and when there is one.
//
// "auto" begins with a WebSocket. It goes on to event streams where no WebSocket opens, or three are
// cut early; and to polling where streams are held back or cut. What worked once is not given up
// because a bridge is down.

import { Backoff } from "./backoff.js";
import { lost } from "./error.js";
import { later } from "./later.js";
import { watchPage } from "./page.js";
import { WsTransport } from "./ws.js";

/** @typedef {import("./feed.js").Feed} Feed */

/**
 * Loads what is not always needed. Given from outside: bundlers of workers refuse `import()` in them.
 *
 * @typedef {object} Loaders
 * @property {() => Promise<typeof import("./http.js")>} http
 * @property {() => Promise<typeof import("./event-source.js")>} eventSource
 */

/**
 * What a transport needs of its surroundings.
 *
 * @typedef {object} Env
 * @property {string} base absolute URL of the bridge's base path
 * @property {typeof globalThis.fetch} fetch
 * @property {any} WebSocket
 * @property {any} EventSource set where event streams are to be read by it
 * @property {Loaders} load
 * @property {import("./credentials.js").Credentials} credentials
 * @property {Backoff} backoff
 * @property {number | undefined} patience milliseconds for the first byte, where another transport waits
 * @property {((message: any, direction: "in" | "out") => void) | undefined} onMessage
 * @property {(open: boolean) => void} opened
 * @property {() => void} works a message came
 * @property {(kind: string) => boolean} trouble returns whether another transport takes over
 * @property {(feed: Feed) => void} closed the feed has ended by itself
 */

const IDLE = 5_000;
const FIRST_BYTE = 3_000;
const EARLY = 3;

export class Connection {
  /** @type {"idle" | "connecting" | "open" | "closed"} */
  state = "idle";

  #parts;
  /** @type {Set<Feed>} */
  #feeds = new Set();
  /** @type {string[]} */
  #stages;
  #stage = 0;
  #early = 0;
  /** Transports that have carried a message. @type {Set<string>} */
  #worked = new Set();
  /** @type {import("./live-window.js").Carrier & { wake(): void, stop(): void } | null} */
  #inner = null;
  /** @type {any} */
  #timer = null;
  #resting = false;
  #unwatch = () => {};

  /**
   * @param {Pick<Env, "base" | "fetch" | "WebSocket" | "EventSource" | "load" | "credentials" | "onMessage">} parts
   * @param {import("./types.js").Transport} transport
   * @param {boolean} [background] serves pages, and is none: it does not rest while they are hidden
   */
  constructor(parts, transport, background = false) {
    this.#parts = { ...parts, backoff: new Backoff() };
    const all = parts.WebSocket ? ["ws", "sse", "poll"] : ["sse", "poll"];
    this.#stages = transport === "auto" ? all : [transport === "ws" ? all[0] : transport];
    if (!background && typeof document === "object") {
      this.#unwatch = watchPage({ rest: () => this.#rest(), wake: (elsewhere) => this.#wake(elsewhere) });
    }
  }

  /** @param {Feed} feed */
  open(feed) {
    this.#feeds.add(feed);
    if (this.#inner) this.#inner.open(feed);
    else if (!this.#resting) this.#start();
  }

  /** @param {Feed} feed */
  move(feed) {
    this.#inner?.move(feed);
  }

  /** @param {Feed} feed */
  close(feed) {
    this.#feeds.delete(feed);
    this.#inner?.close(feed);
    if (this.#feeds.size || this.state === "closed") return;
    // A page that changes its query closes one and opens another.
    this.#after(IDLE, () => !this.#feeds.size && this.#halt());
    this.#timer.unref?.();
  }

  wake() {
    this.#wake(false);
  }

  stop() {
    this.#halt();
    this.#unwatch();
    this.state = "closed";
  }

  // ------------------------------------------------------------ which transport

  #start() {
    clearTimeout(this.#timer);
    const name = this.#stages[this.#stage];
    /** @type {Env} */
    const env = {
      ...this.#parts,
      patience: this.#stages.length > 1 ? FIRST_BYTE : undefined,
      opened: (open) => {
        if (inner === this.#inner && this.state !== "closed") this.state = open ? "open" : "connecting";
      },
      works: () => {
        this.#worked.add(name);
        env.opened(true);
      },
      trouble: (kind) => inner === this.#inner && this.#trouble(kind, name),
      closed: (feed) => this.close(feed),
    };
    const inner =
      name === "ws"
        ? new WsTransport(env)
        : later(
            this.#parts.load.http().then((the) => new the.HttpTransport(env, name)),
            () => this.#missing(env),
          );
    this.#inner = inner;
    this.state = "connecting";
    for (const feed of this.#feeds) inner.open(feed);
  }

  /** The code of a transport did not come: its server is down, as the bridge is. @param {Env} env */
  #missing(env) {
    for (const feed of this.#feeds) feed.lost(lost("a part of the library could not be loaded"));
    if (env.trouble("unreachable")) return;
    this.#halt();
    this.#after(this.#parts.backoff.next(), () => this.#start());
  }

  /** Whether another transport takes over. @param {string} kind @param {string} name */
  #trouble(kind, name) {
    this.#early = kind === "early" ? this.#early + 1 : 0;
    const to = this.#next(kind, name);
    if (to === this.#stage) return false;
    const delay = to > this.#stage ? 0 : this.#parts.backoff.next();
    this.#early = 0;
    this.#halt();
    this.#stage = to;
    this.state = "connecting";
    this.#after(delay, () => this.#start());
    return true;
  }

  /** @param {string} kind @param {string} name */
  #next(kind, name) {
    const stage = this.#stage;
    const further = Math.min(stage + 1, this.#stages.length - 1);
    if (kind === "early") return this.#early >= EARLY ? further : stage;
    if (!kind || this.#worked.has(name)) return stage;
    return kind === "unreachable" ? 0 : further;
  }

  #halt() {
    clearTimeout(this.#timer);
    this.#inner?.stop();
    this.#inner = null;
    if (this.state !== "closed") this.state = "idle";
  }

  /** @param {number} delay @param {() => void} work */
  #after(delay, work) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(work, delay);
  }

  // ------------------------------------------------------------ the page

  /** Nobody looks: the connection is let go, and the windows stay as they are. */
  #rest() {
    if (this.#resting || this.state === "closed") return;
    this.#resting = true;
    this.#halt();
    for (const feed of this.#feeds) feed.rest();
  }

  /** @param {boolean} elsewhere the network is another one: what was blocked may not be */
  #wake(elsewhere) {
    if (this.state === "closed") return;
    const idle = this.#resting || !this.#inner;
    this.#resting = false;
    if (elsewhere && this.#stage && !this.#worked.has("sse")) {
      for (const feed of this.#feeds) feed.lost(lost("another network"));
      this.#halt();
      this.#stage = 0;
    } else if (!idle) {
      this.#inner?.wake();
      return;
    }
    if (this.#feeds.size) this.#start();
  }
}
