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
export function useLive<T extends object = any>(client: LiveClient, query: import("./types.js").Query, { initial }?: {
    initial?: import("./types.js").Initial<T>;
}): Snapshot<T>;
/**
 * An ordered live list of any length.
 *
 * @template {object} [T=any]
 * @param {LiveClient} client
 * @param {Parameters<LiveClient["list"]>[0]} query
 * @param {{ page?: number }} [options]
 * @returns {Snapshot<T> & { loadMore: () => Promise<number>, loadBack: () => Promise<number>, hasMore: boolean, hasBefore: boolean }}
 */
export function useLiveList<T extends object = any>(client: LiveClient, query: Parameters<LiveClient["list"]>[0], { page }?: {
    page?: number;
}): Snapshot<T> & {
    loadMore: () => Promise<number>;
    loadBack: () => Promise<number>;
    hasMore: boolean;
    hasBefore: boolean;
};
export type LiveClient = import("./livequery.js").LiveClient;
export type Snapshot<T extends object> = import("./types.js").Snapshot<T>;
