/** @typedef {import("./livequery.js").LiveClient} LiveClient */
/**
 * Options for `createCollection`. An item has the row's columns, and `agg_id`, which is its key.
 *
 * @template {object} [T=any]
 * @param {LiveClient} client
 * @param {import("./types.js").Query} query
 * @param {{ id?: string }} [options]
 */
export function liveCollectionOptions<T extends object = any>(client: LiveClient, query: import("./types.js").Query, { id }?: {
    id?: string;
}): {
    id: string;
    /** @param {Item} item */
    getKey: (item: T & {
        agg_id: string;
    }) => string;
    sync: {
        /** @type {"full"} */
        rowUpdateMode: "full";
        /** @param {any} collection */
        sync({ begin, write, commit, markReady }: any): () => void;
    };
};
export type LiveClient = import("./livequery.js").LiveClient;
