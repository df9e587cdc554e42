// One event stream of one query, read by fetch, from its request to its end.

import { STABLE } from "./backoff.js";
import { failure, lost } from "./error.js";
import { EventFeed } from "./event-feed.js";
import { EventParser } from "./event-parser.js";
import { failureOf, headersOf, request, troubled } from "./request.js";

/** The bridge writes a comment after 15 s of silence. */
const SILENT = 40_000;
const PATIENCE = 20_000;

/**
 * Follows a stream until it ends, which throws.
 *
 * @param {import("./connection.js").Env} env
 * @param {import("./http.js").Loop} loop
 * @param {AbortSignal} signal
 */
export async function stream(env, loop, signal) {
  const { feed } = loop;
  const { pos } = feed.ask();
  const parameters = { v: "1", ...(pos && { last_event_id: pos }) };
  if (env.EventSource) {
    const { follow } = await env.load.eventSource();
    return follow(env, loop, signal, parameters);
  }
  const watch = new Watch(env.patience ?? PATIENCE, signal);
  const began = Date.now();
  try {
    const response = await request(env, "", {
      query: feed.query,
      parameters,
      headers: { accept: "text/event-stream", ...headersOf(loop.token) },
      signal: watch.signal,
    });
    if (response.status !== 200) throw await failureOf(response);
    if (!response.headers.get("content-type")?.startsWith("text/event-stream")) {
      throw troubled(failure(0, { message: "the answer is no event stream" }), "early");
    }
    await read(response, new EventFeed(env, feed), watch);
    const cut = lost("the stream was cut");
    throw Date.now() - began < STABLE ? troubled(cut, "early") : cut;
  } catch (thrown) {
    if (!watch.late || signal.aborted) throw thrown;
    throw watch.heard ? lost("the stream says nothing") : troubled(lost("no first byte"), "silent");
  } finally {
    watch.stop();
  }
}

/** @param {Response} response @param {EventFeed} events @param {Watch} watch */
async function read(response, events, watch) {
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
  const decoder = new TextDecoder();
  const parser = new EventParser((event, data, id) => events.take(event, data, id));
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      watch.restart(SILENT);
      parser.push(decoder.decode(value, { stream: true }));
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** Aborts a request that says nothing for a while, or that is aborted from outside. */
class Watch {
  late = false;
  heard = false;
  #abort = new AbortController();
  /** @type {any} */
  #timer;
  #outside;
  #stop = () => this.#abort.abort();

  /** @param {number} patience @param {AbortSignal} outside */
  constructor(patience, outside) {
    this.#outside = outside;
    if (outside.aborted) this.#stop();
    outside.addEventListener("abort", this.#stop);
    this.#start(patience);
  }

  get signal() {
    return this.#abort.signal;
  }

  /** @param {number} patience */
  restart(patience) {
    this.heard = true;
    this.#start(patience);
  }

  /** @param {number} patience */
  #start(patience) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.late = true;
      this.#stop();
    }, patience);
  }

  stop() {
    clearTimeout(this.#timer);
    this.#outside.removeEventListener("abort", this.#stop);
    this.#stop();
  }
}
