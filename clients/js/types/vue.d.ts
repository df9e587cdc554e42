/**
 * The rows of a live query. A query that is a ref or a getter is followed.
 *
 * @template {object} [T=any]
 * @param {LiveClient} client
 * @param {Source<import("./types.js").Query>} query
 * @param {{ initial?: import("./types.js").Initial<T> }} [options]
 */
export function useLive<T extends object = any>(client: LiveClient, query: Source<import("./types.js").Query>, options?: {
    initial?: import("./types.js").Initial<T>;
}): Refs<T>;
/**
 * An ordered live list of any length.
 *
 * @template {object} [T=any]
 * @param {LiveClient} client
 * @param {Source<Parameters<LiveClient["list"]>[0]>} query
 * @param {{ page?: number }} [options]
 */
export function useLiveList<T extends object = any>(client: LiveClient, query: Source<Parameters<LiveClient["list"]>[0]>, options?: {
    page?: number;
}): {
    hasMore: Readonly<import("vue").ShallowRef<boolean, boolean>>;
    hasBefore: Readonly<import("vue").ShallowRef<boolean, boolean>>;
    loadMore: () => Promise<number>;
    loadBack: () => Promise<number>;
    rows: Readonly<import("vue").ShallowRef<readonly import("./types.js").Row<T>[], readonly import("./types.js").Row<T>[]>>;
    status: Readonly<import("vue").ShallowRef<import("./types.js").Status, import("./types.js").Status>>;
    error: Readonly<import("vue").ShallowRef<import("./types.js").Failure | null, import("./types.js").Failure | null>>;
};
export type LiveClient = import("./livequery.js").LiveClient;
export type Source<T> = import("vue").MaybeRefOrGetter<T>;
export type Refs<T extends object> = { [K in keyof import("./types.js").Snapshot<T>]: Readonly<import("vue").ShallowRef<import("./types.js").Snapshot<T>[K]>>; };
