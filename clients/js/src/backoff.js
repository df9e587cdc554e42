// Back-off: how long to wait before the next try.

const FIRST = 500;
const MOST = 15_000;
/** A connection that lasted this long starts its back-off anew. */
export const STABLE = 5_000;

/** Full jitter: a crowd that was cut together must not come back together. */
export class Backoff {
  #attempt = 0;

  /** Starts anew: what is counted here has worked. */
  reset() {
    this.#attempt = 0;
  }

  /** @param {number} [least] milliseconds that the other side asked for */
  next(least = 0) {
    const most = Math.min(MOST, FIRST * 2 ** this.#attempt++);
    return least + Math.random() * (least ? Math.min(most, least) : most);
  }
}
