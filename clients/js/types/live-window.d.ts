/**
 * What carries feeds to a bridge.
 *
 * @typedef {object} Carrier
 * @property {(feed: Feed) => void} open
 * @property {(feed: Feed) => void} move the feed's query has changed
 * @property {(feed: Feed) => void} close
 */
/**
 * @template {object} [T=any]
 * @extends {LiveView<T>}
 */
export class LiveWindow<T extends object = any> extends LiveView<T> {
    /**
     * Made by `client.live`.
     *
     * @param {any} query a LiveQuery
     * @param {Carrier} carrier
     * @param {(feed: Feed) => void} prepare opens the feed, now or when what was kept is read
     */
    constructor(query: any, carrier: Carrier, prepare: (feed: Feed) => void);
    /**
     * Moves the window. Rows that are in both stay. A newer call replaces one under way.
     *
     * @param {{ cursor?: import("./types.js").Cursor | null, limit?: number }} [to]
     *   the head if there is no cursor; a limit left out keeps the one in force
     * @returns {Promise<void>} when the window is there; rejects if it was refused, and the old one stays
     */
    reanchor({ cursor, limit }?: {
        cursor?: import("./types.js").Cursor | null;
        limit?: number;
    }): Promise<void>;
    #private;
}
/**
 * What carries feeds to a bridge.
 */
export type Carrier = {
    open: (feed: Feed) => void;
    /**
     * the feed's query has changed
     */
    move: (feed: Feed) => void;
    close: (feed: Feed) => void;
};
import { LiveView } from "./view.js";
import { Feed } from "./feed.js";
