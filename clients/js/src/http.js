// HttpTransport: a loop per query, of event streams or of polls.
//
// Browsers open six connections to a server over HTTP/1.1, for all tabs together. At most three
// queries of a client have streams, and slots are shared by all tabs; the rest poll.

import { Backoff } from "./backoff.js";
import { LiveError, lost, retryAfterOf } from "./error.js";
import { Completed } from "./event-feed.js";
import { poll } from "./poll.js";
import { takeSlot } from "./slots.js";
import { stream } from "./sse.js";

/** @typedef {import("./feed.js").Feed} Feed */

/**
 * One query's loop.
 *
 * @typedef {object} Loop
 * @property {Feed} feed
 * @property {Backoff} backoff
 * @property {AbortController} step aborted to begin the next step at once
 * @property {import("./credentials.js").Token | null} token what the step shows
 * @property {boolean} current whether the bridge that answered last knows `pos`
 */

const MOST_STREAMS = 3;
/** Between two polls that may not wait at the bridge. */
const SHORT_POLL = 2_000;

export class HttpTransport {
  #env;
  #streams;
  /** @type {Map<Feed, Loop>} */
  #loops = new Map();
  #streaming = 0;

  /** @param {import("./connection.js").Env} env @param {string} name "sse" or "poll" */
  constructor(env, name) {
    this.#env = env;
    this.#streams = name === "sse" ? MOST_STREAMS : 0;
  }

  /** @param {Feed} feed */
  open(feed) {
    const loop = { feed, backoff: new Backoff(), step: new AbortController(), token: null, current: false };
    this.#loops.set(feed, loop);
    this.#run(loop);
  }

  /** @param {Feed} feed */
  move(feed) {
    this.#loops.get(feed)?.step.abort();
  }

  /** @param {Feed} feed */
  close(feed) {
    const loop = this.#loops.get(feed);
    this.#loops.delete(feed);
    loop?.step.abort();
  }

  /** The machine has slept, or the network is back: streams may be dead without a word. */
  wake() {
    for (const { step } of this.#loops.values()) step.abort();
  }

  stop() {
    for (const feed of [...this.#loops.keys()]) this.close(feed);
    this.#env.opened(false);
  }

  /** @param {Loop} loop */
  async #run(loop) {
    const { feed } = loop;
    const going = () => this.#loops.get(feed) === loop;
    while (going()) {
      loop.step = new AbortController();
      const { signal } = loop.step;
      try {
        await this.#step(loop, signal);
        loop.backoff.reset();
      } catch (thrown) {
        if (!going()) return;
        if (signal.aborted) continue;
        loop.current = false;
        if (!(await this.#failed(loop, thrown))) return;
      }
    }
  }

  /** One stream, or one poll. @param {Loop} loop @param {AbortSignal} signal */
  async #step(loop, signal) {
    loop.token = await this.#env.credentials.get();
    const streams = this.#streaming < this.#streams;
    this.#streaming += +streams;
    try {
      const release = await takeSlot(this.#env.base);
      try {
        if (streams && release) await stream(this.#env, loop, signal);
        else if (!(await poll(this.#env, loop, signal, release !== null))) {
          release?.();
          await pause(release ? 1000 : SHORT_POLL, signal);
        }
      } finally {
        release?.();
      }
    } finally {
      this.#streaming -= +streams;
    }
  }

  /** Decides what a failure means. Returns whether the loop goes on. @param {Loop} loop @param {any} thrown */
  async #failed(loop, thrown) {
    const { feed } = loop;
    if (thrown instanceof Completed) return this.#end(feed, null);
    const told = thrown instanceof LiveError;
    const error = told ? thrown : lost(String(thrown?.message ?? thrown));
    if (error.status === 401 && this.#env.credentials.refused(loop.token)) return true;
    if (!error.retryable) return feed.refused(error) || this.#end(feed, error);
    feed.lost(error);
    // A proxy before a bridge that is down answers for it: that says nothing about streams.
    const kind = thrown?.kind ?? (error.status >= 500 ? "unreachable" : "");
    if (kind && this.#env.trouble(kind)) return false;
    loop.step = new AbortController();
    const asked = retryAfterOf(error);
    await pause(asked === 1 ? 1 : loop.backoff.next(asked), loop.step.signal).catch(() => {});
    return this.#loops.get(feed) === loop;
  }

  /** @param {Feed} feed @param {LiveError | null} error */
  #end(feed, error) {
    this.#loops.delete(feed);
    feed.end(error);
    this.#env.closed(feed);
    return false;
  }
}

/** @param {number} delay @param {AbortSignal} signal @returns {Promise<void>} */
function pause(delay, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, delay);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new Error("woken"));
    });
  });
}
