/**
 * The rows of a live query: `live.rows` in a template, or `$live.rows`.
 *
 * @template {object} [T=any]
 * @param {LiveClient} client
 * @param {import("./types.js").Query} query
 * @param {{ initial?: import("./types.js").Initial<T> }} [options]
 * @returns {Followed<T>}
 */
export function useLive<T extends object = any>(client: LiveClient, query: import("./types.js").Query, { initial }?: {
    initial?: import("./types.js").Initial<T>;
}): Followed<T>;
/**
 * An ordered live list of any length.
 *
 * @template {object} [T=any]
 * @param {LiveClient} client
 * @param {Parameters<LiveClient["list"]>[0]} query
 * @param {{ page?: number }} [options]
 * @returns {Followed<T> & { loadMore: () => Promise<number>, loadBack: () => Promise<number>, hasMore: boolean, hasBefore: boolean }}
 */
export function useLiveList<T extends object = any>(client: LiveClient, query: Parameters<LiveClient["list"]>[0], { page }?: {
    page?: number;
}): Followed<T> & {
    loadMore: () => Promise<number>;
    loadBack: () => Promise<number>;
    hasMore: boolean;
    hasBefore: boolean;
};
export type LiveClient = import("./livequery.js").LiveClient;
export type Followed<T extends object> = import("./types.js").Snapshot<T> & {
    subscribe: (run: (value: import("./types.js").Snapshot<T>) => void) => () => void;
};
