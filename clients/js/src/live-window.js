// LiveWindow: one live query's rows.

import { closed } from "./error.js";
import { Feed } from "./feed.js";
import { LiveView, publish } from "./view.js";

/**
 * What carries feeds to a bridge.
 *
 * @typedef {object} Carrier
 * @property {(feed: Feed) => void} open
 * @property {(feed: Feed) => void} move the feed's query has changed
 * @property {(feed: Feed) => void} close
 */

/**
 * @template {object} [T=any]
 * @extends {LiveView<T>}
 */
export class LiveWindow extends LiveView {
  #feed;
  #carrier;

  /**
   * Made by `client.live`.
   *
   * @param {any} query a LiveQuery
   * @param {Carrier} carrier
   * @param {(feed: Feed) => void} prepare opens the feed, now or when what was kept is read
   */
  constructor(query, carrier, prepare) {
    const feed = new Feed(query, (change) => publish(this, change));
    super(() => {
      carrier.close(feed);
      feed.end(null, closed());
    });
    this.#feed = feed;
    this.#carrier = carrier;
    prepare(feed);
  }

  /**
   * Moves the window. Rows that are in both stay. A newer call replaces one under way.
   *
   * @param {{ cursor?: import("./types.js").Cursor | null, limit?: number }} [to]
   *   the head if there is no cursor; a limit left out keeps the one in force
   * @returns {Promise<void>} when the window is there; rejects if it was refused, and the old one stays
   */
  reanchor({ cursor = null, limit = 0 } = {}) {
    if (this.status === "ended" || this.status === "failed") {
      return Promise.reject(this.error ?? closed());
    }
    const query = this.#feed.query;
    const moved = this.#feed.move({ ...query, cursor, limit: limit || query.limit });
    this.#carrier.move(this.#feed);
    return moved;
  }
}
