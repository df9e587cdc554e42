export class Socket {
    /** @param {import("./connection.js").Env} env @param {Listener} on */
    constructor(env: import("./connection.js").Env, on: Listener);
    /** Whether it may be sent to. */
    open: boolean;
    /** Milliseconds after which a bridge that drains is to be asked again; 0: it does not drain. */
    drain: number;
    /** What the bridge was shown. @type {import("./credentials.js").Token | null} */
    token: import("./credentials.js").Token | null;
    /** Connects, unless that is under way or due. */
    need(): void;
    /** The machine has slept, or the network is back: find out now whether the socket lives. */
    wake(): void;
    stop(): void;
    /** @param {any} message */
    send(message: any): void;
    #private;
}
export type Listener = {
    opened: () => void;
    /**
     * may throw Unreadable
     */
    heard: (message: any) => void;
    /**
     * returns whether the socket is still of use
     */
    lost: (error: LiveError) => boolean;
    /**
     * there is no way back
     */
    refused: (error: LiveError) => void;
    /**
     * every few seconds, while it is open
     */
    tick: (now: number) => void;
};
import { LiveError } from "./error.js";
