// Keeper: stores windows for the next visit.

import { digestOf } from "./digest.js";

/** @typedef {import("./feed.js").Feed} Feed */

/** A window is stored this long after a group, at most. */
const DELAY = 1_000;

export class Keeper {
  #store;
  /** @type {Map<Feed, { key: string, timer: any }>} */
  #due = new Map();

  /** @param {import("./types.js").Store} store */
  constructor(store) {
    this.#store = store;
    if (typeof document !== "object") return;
    document.addEventListener("visibilitychange", () => this.flush());
    window.addEventListener("pagehide", () => this.flush());
  }

  /** A feed has a window. @param {Feed} feed @param {string} key */
  keep(feed, key) {
    if (this.#due.has(feed) || feed.query.mode === 1) return;
    const timer = setTimeout(() => this.#save(feed, key), DELAY);
    /** @type {any} */ (timer).unref?.();
    this.#due.set(feed, { key, timer });
  }

  /** Who may not see a window any more must not find it in the store either. @param {string} key */
  forget(key) {
    for (const [feed, due] of this.#due) {
      if (due.key !== key) continue;
      clearTimeout(due.timer);
      this.#due.delete(feed);
    }
    this.#try(() => this.#store.delete(key));
  }

  /** Stores what is due, now. */
  flush() {
    for (const [feed, { key, timer }] of this.#due) {
      clearTimeout(timer);
      this.#save(feed, key);
    }
  }

  /** @param {Feed} feed @param {string} key */
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
