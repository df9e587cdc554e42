// EventFeed: the events of one v1 stream, handed to its feed. Half a group is never applied.

import { endedFailure, failure, lost } from "./error.js";
import { Unreadable } from "./reducer.js";

/** Events that are no frames. */
export const MESSAGES = ["ready", "stale", "live", "problem", "ended", "beat", "drain", "auth_expiring"];
export const FRAMES = ["reset", "enter", "leave", "move", "update", "match", "unmatch", "delta"];

/** The bridge is done with this query. */
export class Completed extends Error {}

export class EventFeed {
  /** @type {any[]} */
  #half = [];
  #env;
  #feed;
  /** @type {import("./error.js").LiveError | null} */
  #problem = null;

  /** @param {import("./connection.js").Env} env @param {import("./feed.js").Feed} feed */
  constructor(env, feed) {
    this.#env = env;
    this.#feed = feed;
  }

  /**
   * Takes one event. Throws where the stream has to end.
   *
   * @param {string} event
   * @param {string} data
   * @param {string | undefined} id
   */
  take(event, data, id) {
    const message = JSON.parse(data) ?? {};
    this.#env.onMessage?.({ type: event, ...message }, "in");
    this.#env.works();
    if (MESSAGES.includes(event)) return this.#message(event, message);
    if (!message.op) return; // of a kind that is not known here
    this.#half.push(message);
    if (id === undefined) return;
    this.#feed.frames(this.#half, id);
    this.#half = [];
  }

  /** @param {string} event @param {import("./types.js").Message} message */
  #message(event, message) {
    const feed = this.#feed;
    switch (event) {
      case "ready":
        if (this.#half.length) throw new Unreadable("half a group before `ready`");
        if (!feed.ready(message)) throw lost("a wrong digest");
        this.#env.credentials.accepted();
        return;
      case "stale":
        return feed.stale();
      case "live":
        return feed.live();
      case "beat":
        if (!this.#half.length && !feed.beat(message.digest)) throw lost("a wrong digest");
        return;
      case "problem":
        this.#problem = failure(Number(message.status) || 0, message);
        return;
      case "ended":
        if (message.reason === "completed") throw new Completed();
        throw this.#problem ?? endedFailure(message.reason);
      case "drain":
        throw failure(503, {
          message: "the bridge drains",
          retry_after_ms: Math.max(1, Number(message.reconnect_after_ms) || 0),
        });
      case "auth_expiring":
        this.#env.credentials.forget();
        throw failure(401, { message: "the credential expires", retryable: true, retry_after_ms: 1 });
    }
  }
}
