export class Connection {
    /**
     * @param {Pick<Env, "base" | "fetch" | "WebSocket" | "EventSource" | "load" | "credentials" | "onMessage">} parts
     * @param {import("./types.js").Transport} transport
     * @param {boolean} [background] serves pages, and is none: it does not rest while they are hidden
     */
    constructor(parts: Pick<Env, "base" | "fetch" | "WebSocket" | "EventSource" | "load" | "credentials" | "onMessage">, transport: import("./types.js").Transport, background?: boolean);
    /** @type {"idle" | "connecting" | "open" | "closed"} */
    state: "idle" | "connecting" | "open" | "closed";
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
/**
 * Loads what is not always needed. Given from outside: bundlers of workers refuse `import()` in them.
 */
export type Loaders = {
    http: () => Promise<typeof import("./http.js")>;
    eventSource: () => Promise<typeof import("./event-source.js")>;
};
/**
 * What a transport needs of its surroundings.
 */
export type Env = {
    /**
     * absolute URL of the bridge's base path
     */
    base: string;
    fetch: typeof globalThis.fetch;
    WebSocket: any;
    /**
     * set where event streams are to be read by it
     */
    EventSource: any;
    load: Loaders;
    credentials: import("./credentials.js").Credentials;
    backoff: Backoff;
    /**
     * milliseconds for the first byte, where another transport waits
     */
    patience: number | undefined;
    onMessage: ((message: any, direction: "in" | "out") => void) | undefined;
    opened: (open: boolean) => void;
    /**
     * a message came
     */
    works: () => void;
    /**
     * returns whether another transport takes over
     */
    trouble: (kind: string) => boolean;
    /**
     * the feed has ended by itself
     */
    closed: (feed: Feed) => void;
};
import { Backoff } from "./backoff.js";
