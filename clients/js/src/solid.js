// Solid: windows and lists as objects whose members are signals.

import { createEffect, createSignal, onCleanup, untrack } from "solid-js";

import { NO_ROWS } from "./reducer.js";

/** @typedef {import("./livequery.js").LiveClient} LiveClient */
/**
 * @template T
 * @typedef {T | (() => T)} Source
 */

/** @param {any} source */
const valueOf = (source) => (typeof source === "function" ? source() : source);

/**
 * @template {import("./view.js").LiveView<any>} V
 * @param {() => any} source
 * @param {() => V} make
 * @param {readonly any[]} rows shown first, also on a server
 */
function follow(source, make, rows) {
  /** @type {V | undefined} */
  let view;
  const [look, show] = createSignal(
    { snapshot: /** @type {any} */ ({ rows, status: "connecting", error: null }), hasMore: false, hasBefore: false },
    { equals: false },
  );
  const read = () => {
    const { hasMore = false, hasBefore = false } = /** @type {any} */ (view);
    show({ snapshot: /** @type {V} */ (view).getSnapshot(), hasMore, hasBefore });
  };
  createEffect(() => {
    JSON.stringify(source()); // all of the query is followed
    const made = (view = untrack(make));
    untrack(read);
    made.subscribe(read);
    onCleanup(() => made.close());
  });
  return { look, read, view: () => view };
}

/**
 * The rows of a live query. A query that is an accessor is followed.
 *
 * @template {object} [T=any]
 * @param {LiveClient} client
 * @param {Source<import("./types.js").Query>} query
 * @param {{ initial?: import("./types.js").Initial<T> }} [options]
 * @returns {import("./types.js").Snapshot<T>}
 */
export function useLive(client, query, { initial } = {}) {
  const make = () => client.live(valueOf(query), { initial });
  const { look } = follow(() => valueOf(query), make, initial?.rows ?? NO_ROWS);
  return {
    get rows() {
      return look().snapshot.rows;
    },
    get status() {
      return look().snapshot.status;
    },
    get error() {
      return look().snapshot.error;
    },
  };
}

/**
 * An ordered live list of any length.
 *
 * @template {object} [T=any]
 * @param {LiveClient} client
 * @param {Source<Parameters<LiveClient["list"]>[0]>} query
 * @param {{ page?: number }} [options]
 * @returns {import("./types.js").Snapshot<T> & { loadMore: () => Promise<number>, loadBack: () => Promise<number>, hasMore: boolean, hasBefore: boolean }}
 */
export function useLiveList(client, query, options) {
  const make = () => client.list(valueOf(query), options);
  const { look, read, view } = follow(() => valueOf(query), make, NO_ROWS);
  const load = async (/** @type {"loadMore" | "loadBack"} */ way) => {
    const added = (await view()?.[way]()) ?? 0;
    read();
    return added;
  };
  return {
    get rows() {
      return look().snapshot.rows;
    },
    get status() {
      return look().snapshot.status;
    },
    get error() {
      return look().snapshot.error;
    },
    get hasMore() {
      return look().hasMore;
    },
    get hasBefore() {
      return look().hasBefore;
    },
    loadMore: () => load("loadMore"),
    loadBack: () => load("loadBack"),
  };
}
