// Keeper: windows of the last visit, read before the bridge has spoken, and kept after each group.

import { digestOf } from "./digest.js";

/** A window is stored this long after a group, at most. */
const DELAY = 1_000;

export class Keeper {
  #store;
  /** @type {Map<import("./feed.js").Feed, { key: string, timer: any }>} */
  #due = new Map();

  /** @param {import("./types.js").Store} store */
  constructor(store) {
    this.#store = store;
    if (typeof document === "object") {
      document.addEventListener("visibilitychange", () => this.flush());
      window.addEventListener("pagehide", () => this.flush());
    }
  }

  /**
   * Hands a feed what was kept, then opens it.
   *
   * @param {import("./feed.js").Feed} feed
   * @param {string} key
   * @param {() => void} open
   */
  prepare(feed, key, open) {
    feed.onKept = () => this.#keep(feed, key);
    let kept;
    try {
      kept = this.#store.get(key);
    } catch {
      // A store that fails keeps nothing.
    }
    if (typeof kept?.then !== "function") {
      feed.restore(kept);
      return open();
    }
    kept.then((/** @type {any} */ value) => feed.restore(value), () => {}).then(open);
  }

  /** Forgets a window: its owner may not see it any more. @param {string} key */
  forget(key) {
    this.#try(() => this.#store.delete(key));
  }

  /** Stores what is due, now. */
  flush() {
    for (const [feed, { key, timer }] of this.#due) {
      clearTimeout(timer);
      this.#save(feed, key);
    }
  }

  /** @param {import("./feed.js").Feed} feed @param {string} key */
  #keep(feed, key) {
    if (this.#due.has(feed) || feed.query.mode === 1) return;
    const timer = setTimeout(() => this.#save(feed, key), DELAY);
    /** @type {any} */ (timer).unref?.();
    this.#due.set(feed, { key, timer });
  }

  /** @param {import("./feed.js").Feed} feed @param {string} key */
  #save(feed, key) {
    this.#due.delete(feed);
    const { rows, pos } = feed;
    this.#try(() => this.#store.set(key, { rows, pos, digest: digestOf(rows) }));
  }

  /** @param {() => any} work */
  async #try(work) {
    try {
      await work();
    } catch (thrown) {
      console.warn("livequery: a window could not be kept.", thrown);
    }
  }
}
