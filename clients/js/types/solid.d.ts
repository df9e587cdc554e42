/**
 * The rows of a live query. A query that is an accessor is followed.
 *
 * @template {object} [T=any]
 * @param {LiveClient} client
 * @param {Source<import("./types.js").Query>} query
 * @param {{ initial?: import("./types.js").Initial<T> }} [options]
 * @returns {import("./types.js").Snapshot<T>}
 */
export function useLive<T extends object = any>(client: LiveClient, query: Source<import("./types.js").Query>, { initial }?: {
    initial?: import("./types.js").Initial<T>;
}): import("./types.js").Snapshot<T>;
/**
 * An ordered live list of any length.
 *
 * @template {object} [T=any]
 * @param {LiveClient} client
 * @param {Source<Parameters<LiveClient["list"]>[0]>} query
 * @param {{ page?: number }} [options]
 * @returns {import("./types.js").Snapshot<T> & { loadMore: () => Promise<number>, loadBack: () => Promise<number>, hasMore: boolean, hasBefore: boolean }}
 */
export function useLiveList<T extends object = any>(client: LiveClient, query: Source<Parameters<LiveClient["list"]>[0]>, options?: {
    page?: number;
}): import("./types.js").Snapshot<T> & {
    loadMore: () => Promise<number>;
    loadBack: () => Promise<number>;
    hasMore: boolean;
    hasBefore: boolean;
};
export type LiveClient = import("./livequery.js").LiveClient;
export type Source<T> = T | (() => T);
