// React: windows and lists as external stores.
//
// Nothing is opened while a component renders: a render may be thrown away. The view is made when
// React subscribes, and shared by all components that show the same query.

import { useCallback, useMemo, useReducer, useSyncExternalStore } from "react";

import { held, use } from "./keep.js";
import { NO_ROWS } from "./reducer.js";

/** @typedef {import("./livequery.js").LiveClient} LiveClient */
/**
 * @template {object} T
 * @typedef {import("./types.js").Snapshot<T>} Snapshot
 */

/** @type {Snapshot<any>} */
const NOTHING = Object.freeze({ rows: /** @type {any} */ (NO_ROWS), status: "connecting", error: null });

/**
 * @template {object} T
 * @param {LiveClient} client
 * @param {string} key
 * @param {() => import("./view.js").LiveView<any>} make
 * @param {Snapshot<T>} first what is shown before there is a view, also on a server
 */
function useView(client, key, make, first) {
  const subscribe = useCallback(
    (/** @type {() => void} */ listener) => {
      const { view, release } = use(client, key, make);
      const stop = view.subscribe(listener);
      return () => {
        stop();
        release();
      };
    },
    // `make` and `first` follow from the key.
    [client, key],
  );
  return useSyncExternalStore(
    subscribe,
    () => held(client, key)?.getSnapshot() ?? first,
    () => first,
  );
}

/**
 * The rows of a live query. The component renders once per group.
 *
 * @template {object} [T=any]
 * @param {LiveClient} client
 * @param {import("./types.js").Query} query may be a new object each time
 * @param {{ initial?: import("./types.js").Initial<T> }} [options] `initial`: what `client.fetch`
 *   returned, shown on the server and first
 * @returns {Snapshot<T>}
 */
export function useLive(client, query, { initial } = {}) {
  const text = JSON.stringify(query);
  const first = useMemo(() => (initial ? { ...NOTHING, rows: initial.rows } : NOTHING), [text, initial]);
  return useView(client, `live ${text}`, () => client.live(query, { initial }), first);
}

/**
 * An ordered live list of any length.
 *
 * @template {object} [T=any]
 * @param {LiveClient} client
 * @param {Parameters<LiveClient["list"]>[0]} query
 * @param {{ page?: number }} [options]
 * @returns {Snapshot<T> & { loadMore: () => Promise<number>, loadBack: () => Promise<number>, hasMore: boolean, hasBefore: boolean }}
 */
export function useLiveList(client, query, { page } = {}) {
  const key = `list ${page} ${JSON.stringify(query)}`;
  const snapshot = useView(client, key, () => client.list(query, { page }), NOTHING);
  const [moves, moved] = useReducer((/** @type {number} */ count) => count + 1, 0);
  const load = useMemo(() => {
    const list = () => /** @type {import("./livequery.js").LiveList | undefined} */ (held(client, key));
    const go = async (/** @type {"loadMore" | "loadBack"} */ way) => {
      try {
        return (await list()?.[way]()) ?? 0;
      } finally {
        moved(); // that there is no more may be all that has changed
      }
    };
    return { list, loadMore: () => go("loadMore"), loadBack: () => go("loadBack") };
  }, [client, key]);
  return useMemo(() => {
    const { loadMore, loadBack } = load;
    const { hasMore = false, hasBefore = false } = load.list() ?? {};
    return { ...snapshot, loadMore, loadBack, hasMore, hasBefore };
  }, [snapshot, load, moves]);
}
