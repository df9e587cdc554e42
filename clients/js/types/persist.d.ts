/** @typedef {import("./feed.js").Feed} Feed */
/** The store of `persist: "indexedDB"`. Its database is opened while the code that uses it is loaded. */
export function indexedDbStore(): Promise<import("./types.js").Store>;
export class Persistence {
    /** @param {import("./types.js").Store | Promise<import("./types.js").Store>} store */
    constructor(store: import("./types.js").Store | Promise<import("./types.js").Store>);
    /**
     * Hands a feed what was kept, then opens it: at once where the store answers at once.
     *
     * @param {string} key
     * @param {Feed} feed
     * @param {() => void} open
     */
    recall(key: string, feed: Feed, open: () => void): void;
    /** Stores what is due, now. */
    flush(): void;
    #private;
}
export type Feed = import("./feed.js").Feed;
