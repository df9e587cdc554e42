/** @typedef {import("./types.js").Row} Row */
/** @typedef {import("./error.js").LiveError} LiveError */
export class Feed {
    /**
     * @param {any} query a LiveQuery
     * @param {(change: import("./view.js").Change) => void} show
     */
    constructor(query: any, show: (change: import("./view.js").Change) => void);
    /** @type {readonly Row[]} */
    rows: readonly Row[];
    /** Where the bridge is to go on from; "" for none. */
    pos: string;
    /** Whether the bridge has shown it this window, and goes on with it. */
    attached: boolean;
    /** Whether a command is under way, whose `ready` has not come. */
    waiting: boolean;
    /** Told of each window that is worth keeping, and of one that is denied. @type {((denied: boolean) => void) | undefined} */
    onKept: ((denied: boolean) => void) | undefined;
    /** Whether it is over, for good. */
    ended: boolean;
    query: any;
    /** Takes over a window of earlier. One that is none is passed over. @param {any} initial */
    restore(initial: any): void;
    /** Whether the newest query was not asked for yet. */
    get moved(): boolean;
    /**
     * Begins to ask for the window. Returns what may be offered of the one held.
     *
     * @returns {{ pos: string, known: [string, number][] | null }}
     */
    ask(): {
        pos: string;
        known: [string, number][] | null;
    };
    /** A command for the newest query is on its way. */
    asking(): void;
    /** @param {any} frames whole groups @param {string | undefined} pos */
    frames(frames: any, pos: string | undefined): void;
    /** The window as a whole, from one answer. @param {any} rows @param {string} pos */
    replace(rows: any, pos: string): void;
    /**
     * The window is complete. Returns false if it is not the bridge's: then it is to be asked anew.
     *
     * @param {{ rows?: number, digest?: string, stale?: boolean }} told
     */
    ready({ rows: count, digest, stale }: {
        rows?: number;
        digest?: string;
        stale?: boolean;
    }): boolean;
    /**
     * The window as another tab has it, which has compared digests already.
     *
     * @param {{ rows: readonly Row[], pos: string, status: import("./types.js").Status, error: any }} state
     */
    adopt({ rows, pos, status, error }: {
        rows: readonly Row[];
        pos: string;
        status: import("./types.js").Status;
        error: any;
    }): void;
    /** Another tab's connection says so. @param {import("./view.js").Change} change */
    tell(change: import("./view.js").Change): void;
    /** Compares digests. Returns as `ready`. @param {string | undefined} digest */
    beat(digest: string | undefined): boolean;
    /** Offers nothing of this window any more. */
    distrust(): void;
    /** The tier is lost: the window stays. */
    stale(): void;
    /** The tier is back. */
    live(): void;
    /** The connection is lost, and will be made again. @param {LiveError} error */
    lost(error: LiveError): void;
    /** The connection is left on purpose, for a while. */
    rest(): void;
    /**
     * The bridge refused what was asked. Returns whether there is something to go on with: the query
     * before a move, or one asked for since.
     *
     * @param {LiveError} error
     */
    refused(error: LiveError): boolean;
    /**
     * Asks for another anchor or size; a transport carries it. Resolves when the window is there.
     *
     * @param {any} query
     * @returns {Promise<void>}
     */
    move(query: any): Promise<void>;
    /** Ends for good. @param {LiveError | null} error null: the tier is done, or the user */
    end(error: LiveError | null, cause?: import("./error.js").LiveError | null): void;
    #private;
}
export type Row = import("./types.js").Row;
export type LiveError = import("./error.js").LiveError;
