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
export let publish: (view: LiveView<any>, change: Change) => void;
/** @template {object} [T=any] */
export class LiveView<T extends object = any> {
    /** @param {() => void} release lets go of what the view shows; called once */
    constructor(release: () => void);
    /** The first whole window; rejects with `error` if it failed before. @type {Promise<void>} */
    ready: Promise<void>;
    /** The rows in order. The list is new only after a group. */
    get rows(): readonly import("./types.js").Row<T>[];
    /** Where it stands; "ended" and "failed" are the last. */
    get status(): import("./types.js").Status;
    /** Why it failed, or reconnects. */
    get error(): import("./types.js").Failure | null;
    /** The same object until rows, status or error change. */
    getSnapshot(): import("./types.js").Snapshot<T>;
    /**
     * Calls a listener after each change, at most once per group.
     *
     * @param {() => void} listener
     * @returns {() => void} stops that
     */
    subscribe(listener: () => void): () => void;
    /** Lets go. The rows stay, the status is `ended`, iterators end. Idempotent. */
    close(): void;
    /** Yields the rows once they are whole, and after each group; of several, the latest. */
    [Symbol.asyncIterator](): {
        /** @returns {Promise<IteratorResult<readonly import("./types.js").Row<T>[], void>>} */
        next: () => Promise<IteratorResult<readonly import("./types.js").Row<T>[], void>>;
        /** @returns {Promise<IteratorResult<readonly import("./types.js").Row<T>[], void>>} */
        return: () => Promise<IteratorResult<readonly import("./types.js").Row<T>[], void>>;
        [Symbol.asyncIterator](): /*elided*/ any;
    };
    #private;
}
export type Change = {
    rows?: readonly import("./types.js").Row<any>[] | undefined;
    /**
     * "ended" and "failed" are the last
     */
    status?: import("./types.js").Status | undefined;
    error?: import("./types.js").Failure | null | undefined;
    /**
     * the rows are a window that the bridge has vouched for
     */
    whole?: boolean | undefined;
};
