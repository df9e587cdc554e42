// LiveView: what the library's users hold of a window or a list.
//
// Laws
// 1. A snapshot is replaced only when rows, status or error changed; then listeners are called once.
// 2. Nothing is called while subscribe() runs, nor after close().
// 3. A listener that throws harms nobody else.

import { closed } from "./error.js";
import { NO_ROWS } from "./reducer.js";

/**
 * @typedef {object} Change
 * @property {readonly import("./types.js").Row[]} [rows]
 * @property {import("./types.js").Status} [status] "ended" and "failed" are the last
 * @property {import("./types.js").Failure | null} [error]
 * @property {boolean} [whole] the rows are a window that the bridge has vouched for
 */

/**
 * Changes what a view shows. Internal: views are changed by their feeds alone.
 *
 * @type {(view: LiveView<any>, change: Change) => void}
 */
export let publish;

/** @template {object} [T=any] */
export class LiveView {
  static {
    publish = (view, change) => view.#publish(change);
  }

  /** @type {import("./types.js").Snapshot<T>} */
  #snapshot = Object.freeze({
    rows: /** @type {any} */ (NO_ROWS),
    status: /** @type {const} */ ("connecting"),
    error: null,
  });
  /** @type {Set<{ call: () => void }>} */
  #listeners = new Set();
  /** @type {Set<() => void>} */
  #iterators = new Set();
  #whole = false;
  #over = false;
  /** @type {() => void} */
  #resolve = () => {};
  /** @type {(error: Error) => void} */
  #reject = () => {};
  #release;

  /** @param {() => void} release lets go of what the view shows; called once */
  constructor(release) {
    this.#release = release;
    /** The first whole window; rejects with `error` if it failed before. @type {Promise<void>} */
    this.ready = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.ready.catch(() => {}); // one who does not ask is not to be told by an unhandled rejection
  }

  /** The rows in order. The list is new only after a group. */
  get rows() {
    return this.#snapshot.rows;
  }

  /** Where it stands; "ended" and "failed" are the last. */
  get status() {
    return this.#snapshot.status;
  }

  /** Why it failed, or reconnects. */
  get error() {
    return this.#snapshot.error;
  }

  /** The same object until rows, status or error change. */
  getSnapshot() {
    return this.#snapshot;
  }

  /**
   * Calls a listener after each change, at most once per group.
   *
   * @param {() => void} listener
   * @returns {() => void} stops that
   */
  subscribe(listener) {
    const entry = { call: listener };
    this.#listeners.add(entry);
    return () => void this.#listeners.delete(entry);
  }

  /** Lets go. The rows stay, the status is `ended`, iterators end. Idempotent. */
  close() {
    if (this.#over) return;
    this.#listeners.clear();
    this.#publish({ status: "ended", error: null });
    this.#release();
  }

  /** Yields the rows once they are whole, and after each group; of several, the latest. */
  [Symbol.asyncIterator]() {
    /** @type {readonly import("./types.js").Row<T>[] | null} */
    let last = null;
    /** @type {{ resolve: (result: any) => void, reject: (error: any) => void }[]} */
    const waiting = [];
    let done = false;
    const step = () => {
      while (waiting.length && (done || this.#over || (this.#whole && this.rows !== last))) {
        const { resolve, reject } = /** @type {typeof waiting[0]} */ (waiting.shift());
        if (!done && this.#whole && this.rows !== last) {
          last = this.rows;
          resolve({ value: last, done: false });
        } else if (!done && this.status === "failed") {
          done = true;
          reject(this.error);
        } else {
          done = true;
          resolve({ value: undefined, done: true });
        }
      }
      if (done || this.#over) this.#iterators.delete(step);
    };
    this.#iterators.add(step);
    return {
      /** @returns {Promise<IteratorResult<readonly import("./types.js").Row<T>[], void>>} */
      next: () =>
        new Promise((resolve, reject) => {
          waiting.push({ resolve, reject });
          step();
        }),
      /** @returns {Promise<IteratorResult<readonly import("./types.js").Row<T>[], void>>} */
      return: async () => {
        done = true;
        step();
        return { value: undefined, done: true };
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  /** @param {Change} change */
  #publish({ whole = false, ...change }) {
    if (this.#over) return;
    const before = this.#snapshot;
    const { rows, status, error } = { ...before, ...change };
    this.#over = status === "ended" || status === "failed";
    const changed = rows !== before.rows || status !== before.status || error !== before.error;
    if (changed) this.#snapshot = Object.freeze({ rows, status, error });
    if (whole) {
      this.#whole = true;
      this.#resolve();
    }
    if (this.#over) this.#reject(/** @type {any} */ (error) ?? closed());
    if (!changed) return;
    for (const step of [...this.#iterators]) step();
    for (const entry of [...this.#listeners]) {
      if (!this.#listeners.has(entry)) continue; // an earlier listener has unsubscribed it
      try {
        entry.call();
      } catch (thrown) {
        console.error(thrown);
      }
    }
  }
}
