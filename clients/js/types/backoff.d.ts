/** A connection that lasted this long starts its back-off anew. */
export const STABLE: 5000;
/** Full jitter: a crowd that was cut together must not come back together. */
export class Backoff {
    /** Starts anew: what is counted here has worked. */
    reset(): void;
    /** @param {number} [least] milliseconds that the other side asked for */
    next(least?: number): number;
    #private;
}
