export class Keeper {
    /** @param {import("./types.js").Store} store */
    constructor(store: import("./types.js").Store);
    /** A feed has a window. @param {Feed} feed @param {string} key */
    keep(feed: Feed, key: string): void;
    /** Who may not see a window any more must not find it in the store either. @param {string} key */
    forget(key: string): void;
    /** Stores what is due, now. */
    flush(): void;
    #private;
}
export type Feed = import("./feed.js").Feed;
