// The library's entry: LiveClient, which makes live windows and lists over one connection.

import { Connection } from "./connection.js";
import { Credentials } from "./credentials.js";
import { LiveError } from "./error.js";
import { later } from "./later.js";
import { LiveList } from "./live-list.js";
import { LiveWindow } from "./live-window.js";
import { Persistence, indexedDbStore } from "./persist.js";
import { toLiveQuery } from "./query.js";

export { LiveError, LiveList, LiveWindow, toLiveQuery };

export class LiveClient {
  #parts;
  #connection;
  /** @type {Persistence | null} */
  #persistence = null;
  /** @type {Set<LiveWindow | LiveList>} */
  #made = new Set();
  #closed = false;

  /**
   * @param {string | URL} url of the bridge's base path, absolute or relative to the page
   * @param {import("./types.js").Options} [options]
   */
  constructor(url, options = {}) {
    const { transport = "auto", share = false, persist, onMessage } = options;
    const page = typeof location === "object" ? location.href : undefined;
    const credentials = new Credentials(options.token);
    const fetch = options.fetch ?? ((...of) => globalThis.fetch(...of));
    // fetch can send headers. Where it can't read streams, or only an EventSource is given, that does.
    const streams = options.fetch || (!options.EventSource && "body" in Response.prototype);
    this.#parts = {
      base: new URL(url, page).href.replace(/\/$/, ""),
      fetch,
      WebSocket: options.WebSocket ?? globalThis.WebSocket,
      EventSource: streams ? undefined : (options.EventSource ?? globalThis.EventSource),
      load: { http: () => import("./http.js"), eventSource: () => import("./event-source.js") },
      credentials,
      onMessage,
      token: options.token,
      custom: Boolean(options.fetch ?? options.WebSocket ?? options.EventSource),
    };
    const shared = share && typeof document === "object" && globalThis.navigator?.locks && "BroadcastChannel" in globalThis;
    this.#connection = shared
      ? later(
          import("./share.js").then(
            (the) => new the.SharedConnection(this.#parts, transport),
            () => new Connection(this.#parts, transport), // better alone than not at all
          ),
          () => {},
        )
      : new Connection(this.#parts, transport);
    if (typeof persist === "object") this.#persistence = new Persistence(persist);
    else if (persist === "indexedDB" && typeof indexedDB === "object") {
      this.#persistence = new Persistence(indexedDbStore());
    }
  }

  /** Whether there is a connection. */
  get state() {
    if (this.#closed) return "closed";
    const connection = this.#connection;
    return "state" in connection ? connection.state : (connection.inner()?.state ?? "idle");
  }

  /**
   * A live query's rows.
   *
   * @template {object} [T=any]
   * @param {import("./types.js").Query} query
   * @param {{ initial?: import("./types.js").Initial<T> }} [options] `initial`: a window that
   *   `fetch` returned, shown at once and gone on from
   * @returns {LiveWindow<T>}
   */
  live(query, { initial } = {}) {
    const liveQuery = toLiveQuery(query);
    const key = `${this.#parts.base} ${JSON.stringify(liveQuery)}`;
    return this.#add(
      new LiveWindow(liveQuery, this.#connection, (feed) => {
        const open = () => void (this.#closed || feed.ended || this.#connection.open(feed));
        feed.restore(initial);
        if (this.#persistence) this.#persistence.recall(key, feed, open);
        else open();
      }),
    );
  }

  /**
   * An ordered live list of any length.
   *
   * @template {object} [T=any]
   * @param {Omit<import("./types.js").Query, "limit" | "cursor" | "mode">} query
   * @param {{ page?: number }} [options] rows of a page; three are held
   * @returns {LiveList<T>}
   */
  list(query, { page = 50 } = {}) {
    return this.#add(new LiveList(toLiveQuery(query), page, this.#connection));
  }

  /**
   * The present window by one request, without a stream.
   *
   * @template {object} [T=any]
   * @param {import("./types.js").Query} query
   * @param {{ signal?: AbortSignal }} [options]
   * @returns {Promise<import("./types.js").Initial<T>>} rejects with a LiveError, or with AbortError
   */
  async fetch(query, { signal } = {}) {
    const { fetchWindow } = await import("./fetch-window.js");
    return fetchWindow(this.#parts, { query: toLiveQuery(query), signal });
  }

  /** Ends everything that this client made. Idempotent. */
  close() {
    if (this.#closed) return;
    this.#persistence?.flush();
    this.#closed = true;
    for (const made of [...this.#made]) made.close();
    this.#connection.stop();
  }

  /**
   * @template {LiveWindow | LiveList} V
   * @param {V} view
   */
  #add(view) {
    for (const made of this.#made) if (made.status === "ended" || made.status === "failed") this.#made.delete(made);
    this.#made.add(view);
    if (this.#closed) view.close();
    return view;
  }
}
