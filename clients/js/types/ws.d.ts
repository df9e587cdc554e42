export class WsTransport {
    /** @param {import("./connection.js").Env} env */
    constructor(env: import("./connection.js").Env);
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
export type Message = import("./types.js").Message;
export type Entry = {
    feed: Feed;
    sub: string;
    backoff: Backoff;
    error: import("./error.js").LiveError | null;
    asked: number;
    timer?: any;
};
import { Backoff } from "./backoff.js";
