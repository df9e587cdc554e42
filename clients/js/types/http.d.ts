export class HttpTransport {
    /** @param {import("./connection.js").Env} env @param {string} name "sse" or "poll" */
    constructor(env: import("./connection.js").Env, name: string);
    /** @param {Feed} feed */
    open(feed: Feed): void;
    /** @param {Feed} feed */
    move(feed: Feed): void;
    /** @param {Feed} feed */
    close(feed: Feed): void;
    /** The machine has slept, or the network is back: streams may be dead without a word. */
    wake(): void;
    stop(): void;
    #private;
}
export type Feed = import("./feed.js").Feed;
/**
 * One query's loop.
 */
export type Loop = {
    feed: Feed;
    backoff: Backoff;
    /**
     * aborted to begin the next step at once
     */
    step: AbortController;
    /**
     * what the step shows
     */
    token: import("./credentials.js").Token | null;
    /**
     * whether the bridge that answered last knows `pos`
     */
    current: boolean;
};
import { Backoff } from "./backoff.js";
