export class LiveClient {
    /**
     * @param {string | URL} url of the bridge's base path, absolute or relative to the page
     * @param {import("./types.js").Options} [options]
     */
    constructor(url: string | URL, options?: import("./types.js").Options);
    /** Whether there is a connection. */
    get state(): "connecting" | "closed" | "open" | "idle";
    /**
     * A live query's rows.
     *
     * @template {object} [T=any]
     * @param {import("./types.js").Query} query
     * @param {{ initial?: import("./types.js").Initial<T> }} [options] `initial`: a window that
     *   `fetch` returned, shown at once and gone on from
     * @returns {LiveWindow<T>}
     */
    live<T extends object = any>(query: import("./types.js").Query, { initial }?: {
        initial?: import("./types.js").Initial<T>;
    }): LiveWindow<T>;
    /**
     * An ordered live list of any length.
     *
     * @template {object} [T=any]
     * @param {Omit<import("./types.js").Query, "limit" | "cursor" | "mode">} query
     * @param {{ page?: number }} [options] rows of a page; three are held
     * @returns {LiveList<T>}
     */
    list<T extends object = any>(query: Omit<import("./types.js").Query, "limit" | "cursor" | "mode">, { page }?: {
        page?: number;
    }): LiveList<T>;
    /**
     * The present window by one request, without a stream.
     *
     * @template {object} [T=any]
     * @param {import("./types.js").Query} query
     * @param {{ signal?: AbortSignal }} [options]
     * @returns {Promise<import("./types.js").Initial<T>>} rejects with a LiveError, or with AbortError
     */
    fetch<T extends object = any>(query: import("./types.js").Query, { signal }?: {
        signal?: AbortSignal;
    }): Promise<import("./types.js").Initial<T>>;
    /** Ends everything that this client made. Idempotent. */
    close(): void;
    #private;
}
import { LiveError } from "./error.js";
import { LiveList } from "./live-list.js";
import { LiveWindow } from "./live-window.js";
import { toLiveQuery } from "./query.js";
export { LiveError, LiveList, LiveWindow, toLiveQuery };
