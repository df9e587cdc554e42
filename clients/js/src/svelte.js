// Svelte: windows and lists as objects whose members are followed, and as stores ($live).

import { createSubscriber } from "svelte/reactivity";

import { use } from "./keep.js";
import { NO_ROWS } from "./reducer.js";

/** @typedef {import("./livequery.js").LiveClient} LiveClient */
/**
 * @template {object} T
 * @typedef {import("./types.js").Snapshot<T> & { subscribe: (run: (value: import("./types.js").Snapshot<T>) => void) => () => void }} Followed
 */

/** @type {import("./types.js").Snapshot<any>} */
const NOTHING = Object.freeze({ rows: /** @type {any} */ (NO_ROWS), status: "connecting", error: null });

/**
 * @template {import("./view.js").LiveView<any>} V
 * @param {LiveClient} client
 * @param {string} key
 * @param {() => V} make
 * @param {import("./types.js").Snapshot<any>} first
 */
function follow(client, key, make, first) {
  /** @type {V | undefined} */
  let view;
  /** @type {Set<() => void>} */
  const listeners = new Set();
  /** Uses the view while somebody listens. @param {() => void} listener */
  const listen = (listener) => {
    const used = use(client, key, make);
    view = used.view;
    listeners.add(listener);
    const stop = view.subscribe(listener);
    return () => {
      listeners.delete(listener);
      stop();
      used.release();
    };
  };
  const read = createSubscriber(listen);
  const snapshot = () => view?.getSnapshot() ?? first;
  return {
    /** Reads, and is followed where effects read it. */
    look() {
      read();
      return snapshot();
    },
    view: () => view,
    /** Something changed that is no part of the snapshot. */
    touch() {
      for (const listener of listeners) listener();
    },
    subscribe(/** @type {(value: any) => void} */ run) {
      const stop = listen(() => run(snapshot()));
      run(snapshot());
      return stop;
    },
  };
}

/**
 * The rows of a live query: `live.rows` in a template, or `$live.rows`.
 *
 * @template {object} [T=any]
 * @param {LiveClient} client
 * @param {import("./types.js").Query} query
 * @param {{ initial?: import("./types.js").Initial<T> }} [options]
 * @returns {Followed<T>}
 */
export function useLive(client, query, { initial } = {}) {
  const first = initial ? { ...NOTHING, rows: initial.rows } : NOTHING;
  const key = `live ${JSON.stringify(query)}`;
  const { look, subscribe } = follow(client, key, () => client.live(query, { initial }), first);
  return {
    get rows() {
      return look().rows;
    },
    get status() {
      return look().status;
    },
    get error() {
      return look().error;
    },
    subscribe,
  };
}

/**
 * An ordered live list of any length.
 *
 * @template {object} [T=any]
 * @param {LiveClient} client
 * @param {Parameters<LiveClient["list"]>[0]} query
 * @param {{ page?: number }} [options]
 * @returns {Followed<T> & { loadMore: () => Promise<number>, loadBack: () => Promise<number>, hasMore: boolean, hasBefore: boolean }}
 */
export function useLiveList(client, query, { page } = {}) {
  const key = `list ${page} ${JSON.stringify(query)}`;
  const followed = follow(client, key, () => client.list(query, { page }), NOTHING);
  const load = async (/** @type {"loadMore" | "loadBack"} */ way) => {
    const added = (await followed.view()?.[way]()) ?? 0;
    followed.touch();
    return added;
  };
  return {
    get rows() {
      return followed.look().rows;
    },
    get status() {
      return followed.look().status;
    },
    get error() {
      return followed.look().error;
    },
    get hasMore() {
      followed.look();
      return followed.view()?.hasMore ?? false;
    },
    get hasBefore() {
      followed.look();
      return followed.view()?.hasBefore ?? false;
    },
    loadMore: () => load("loadMore"),
    loadBack: () => load("loadBack"),
    subscribe: followed.subscribe,
  };
}
