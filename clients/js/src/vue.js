// Vue: windows and lists as refs, for as long as the component lives. On a server nothing is opened:
// no component is ever unmounted there.

import { onScopeDispose, shallowReadonly, shallowRef, toValue, watch } from "vue";

/** @typedef {import("./livequery.js").LiveClient} LiveClient */
/**
 * @template T
 * @typedef {import("vue").MaybeRefOrGetter<T>} Source
 */

/**
 * @template {import("./view.js").LiveView<any>} V
 * @param {() => any} source what the view depends on
 * @param {() => V} make
 * @param {(view: V) => void} show
 */
function follow(source, make, show) {
  /** @type {V | undefined} */
  let view;
  const close = () => view?.close();
  const open = () => {
    close();
    const made = (view = make());
    show(made);
    made.subscribe(() => show(made));
  };
  if (typeof document === "object") {
    watch(() => JSON.stringify(source()), open, { immediate: true });
    onScopeDispose(close);
  }
  return () => view;
}

/**
 * The rows of a live query. A query that is a ref or a getter is followed.
 *
 * @template {object} [T=any]
 * @param {LiveClient} client
 * @param {Source<import("./types.js").Query>} query
 * @param {{ initial?: import("./types.js").Initial<T> }} [options]
 */
export function useLive(client, query, options) {
  const { refs, show } = refsOf(options?.initial?.rows);
  follow(() => toValue(query), () => client.live(toValue(query), options), show);
  return /** @type {Refs<T>} */ (refs);
}

/**
 * An ordered live list of any length.
 *
 * @template {object} [T=any]
 * @param {LiveClient} client
 * @param {Source<Parameters<LiveClient["list"]>[0]>} query
 * @param {{ page?: number }} [options]
 */
export function useLiveList(client, query, options) {
  const { refs, show } = refsOf();
  const hasMore = shallowRef(false);
  const hasBefore = shallowRef(false);
  const look = (/** @type {import("./livequery.js").LiveList} */ list) => {
    show(list);
    hasMore.value = list.hasMore;
    hasBefore.value = list.hasBefore;
  };
  const list = follow(() => toValue(query), () => client.list(toValue(query), options), look);
  const load = async (/** @type {"loadMore" | "loadBack"} */ way) => {
    const one = list();
    const added = await one?.[way]();
    if (one) look(one);
    return added ?? 0;
  };
  return {
    .../** @type {Refs<T>} */ (refs),
    hasMore: shallowReadonly(hasMore),
    hasBefore: shallowReadonly(hasBefore),
    loadMore: () => load("loadMore"),
    loadBack: () => load("loadBack"),
  };
}

/**
 * @template {object} T
 * @typedef {{ [K in keyof import("./types.js").Snapshot<T>]: Readonly<import("vue").ShallowRef<import("./types.js").Snapshot<T>[K]>> }} Refs
 */

/** @param {readonly any[]} [initial] shown first, and on a server */
function refsOf(initial = []) {
  const rows = shallowRef(/** @type {any} */ (initial));
  const status = shallowRef(/** @type {any} */ ("connecting"));
  const error = shallowRef(/** @type {any} */ (null));
  return {
    refs: { rows: shallowReadonly(rows), status: shallowReadonly(status), error: shallowReadonly(error) },
    show(/** @type {import("./view.js").LiveView<any>} */ view) {
      rows.value = view.rows;
      status.value = view.status;
      error.value = view.error;
    },
  };
}
