/**
 * @template {object} [T=any]
 * @extends {LiveView<T>}
 */
export class LiveList<T extends object = any> extends LiveView<T> {
    /**
     * Made by `client.list`.
     *
     * @param {any} query a LiveQuery
     * @param {number} page rows of a page
     * @param {import("./live-window.js").Carrier} carrier
     */
    constructor(query: any, page: number, carrier: import("./live-window.js").Carrier);
    /** Whether there may be rows behind those held. */
    get hasMore(): boolean;
    /** Whether there may be rows before those held. */
    get hasBefore(): boolean;
    /** What is held, by position from the list's start: counted from 0, both inclusive. */
    get window(): {
        first: number;
        last: number;
        pages: number;
    };
    /**
     * Adds a page at the end. With three pages held, the first is forgotten.
     *
     * @returns {Promise<number>} rows added there
     */
    loadMore(): Promise<number>;
    /**
     * Adds a page at the start. Rows over three pages are forgotten at the end.
     *
     * @returns {Promise<number>} rows added there
     */
    loadBack(): Promise<number>;
    #private;
}
export type Cursor = import("./types.js").Cursor;
import { LiveView } from "./view.js";
