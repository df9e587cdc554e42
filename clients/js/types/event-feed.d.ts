/** Events that are no frames. */
export const MESSAGES: string[];
export const FRAMES: string[];
/** The bridge is done with this query. */
export class Completed extends Error {
}
export class EventFeed {
    /** @param {import("./connection.js").Env} env @param {import("./feed.js").Feed} feed */
    constructor(env: import("./connection.js").Env, feed: import("./feed.js").Feed);
    /**
     * Takes one event. Throws where the stream has to end.
     *
     * @param {string} event
     * @param {string} data
     * @param {string | undefined} id
     */
    take(event: string, data: string, id: string | undefined): void;
    #private;
}
