// The window by plain requests: once, and again and again where streams do not get through.

import { failure, lost } from "./error.js";
import { Unreadable } from "./reducer.js";
import { failureOf, headersOf, request, troubled } from "./request.js";

/** Seconds that the bridge may wait for a group. */
const WAIT = 25;
const PATIENCE = 45_000;
const MOST_BYTES = 65_536;

/**
 * Asks once. Returns null where nothing is new.
 *
 * @param {Pick<import("./connection.js").Env, "base" | "fetch">} env
 * @param {Omit<Parameters<typeof request>[2], "headers">} what
 * @param {{ text: string } | null} token
 */
export async function ask(env, what, token) {
  const response = await request(env, "/window", { ...what, headers: headersOf(token) });
  if (response.status === 304) return null;
  if (response.status !== 200) throw await failureOf(response);
  if (!/json/.test(response.headers.get("content-type") ?? "")) {
    response.body?.cancel().catch(() => {});
    throw troubled(failure(0, { message: "the answer is no window" }), "unreachable");
  }
  try {
    return await response.json();
  } catch (thrown) {
    if (what.signal?.aborted) throw thrown;
    throw new Unreadable("half a window");
  }
}

/**
 * Polls once. Returns whether the next poll may follow at once.
 *
 * @param {import("./connection.js").Env} env
 * @param {import("./http.js").Loop} loop
 * @param {AbortSignal} signal
 * @param {boolean} long whether the bridge may be held
 */
export async function poll(env, loop, signal, long) {
  const { feed } = loop;
  const moved = feed.moved;
  const { pos, known } = feed.ask();
  const began = Date.now();
  const follows = pos !== "" && loop.current && !moved;
  /** @type {Record<string, string>} */
  const parameters = follows ? { since: pos, ...(long && { wait: String(WAIT) }) } : {};
  const wrap = follows ? undefined : wrapped(feed.query, pos, known);
  const late = AbortSignal.timeout(PATIENCE);
  const what = { query: feed.query, parameters, wrap, signal: either(signal, late) };
  const answer = await ask(env, what, loop.token);
  if (signal.aborted) throw signal.reason;
  env.works();
  env.credentials.accepted();
  loop.current = true;
  if (answer) env.onMessage?.({ type: "window", ...answer }, "in");
  if (answer?.rows) feed.replace(answer.rows, String(answer.pos ?? ""));
  else if (answer) feed.frames(answer.frames, answer.pos);
  if (!feed.ready({ digest: answer?.digest, stale: answer?.stale === true })) throw lost("a wrong digest");
  // An answer that brings nothing, and that at once, must not be asked for in a busy loop.
  return Boolean(answer?.rows ?? answer?.frames.length) || Date.now() - began > 1000;
}

/** What goes beside the query, where it fits. @param {any} query @param {string} pos @param {[string, number][] | null} known */
function wrapped(query, pos, known) {
  if (!known || known.length > 1000) return undefined;
  const wrap = { ...(pos && { since: pos }), known };
  return new TextEncoder().encode(JSON.stringify({ query, ...wrap })).length <= MOST_BYTES ? wrap : undefined;
}

/** @param {AbortSignal} one @param {AbortSignal} other */
function either(one, other) {
  const both = new AbortController();
  for (const signal of [one, other]) {
    if (signal.aborted) both.abort(signal.reason);
    signal.addEventListener("abort", () => both.abort(signal.reason), { signal: both.signal });
  }
  return both.signal;
}
