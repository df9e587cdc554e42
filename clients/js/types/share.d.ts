export class SharedConnection {
    /**
     * @param {any} parts as Connection has them
     * @param {import("./types.js").Transport} transport
     */
    constructor(parts: any, transport: import("./types.js").Transport);
    /** @returns {"idle" | "connecting" | "open" | "closed"} */
    get state(): "idle" | "connecting" | "open" | "closed";
    /** @param {Feed} feed */
    open(feed: Feed): void;
    /** @param {Feed} feed */
    move(feed: Feed): void;
    /** @param {Feed} feed */
    close(feed: Feed): void;
    wake(): void;
    stop(): void;
    #private;
}
export type Feed = import("./feed.js").Feed;
export type Row = import("./types.js").Row;
/**
 * What this tab wants of the leader: one query, for any number of feeds.
 */
export type Want = {
    query: any;
    feeds: Set<Feed>;
    /**
     * of the last message; -1: the whole state is needed
     */
    seq: number;
    state: import("./share-leader.js").State | null;
};
