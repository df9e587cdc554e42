// One event stream of one query, read by EventSource: where fetch can't read a stream.

import { lost } from "./error.js";
import { EventFeed, FRAMES, MESSAGES } from "./event-feed.js";
import { ask } from "./poll.js";
import { failureOf, headersOf, troubled } from "./request.js";

/**
 * Follows a stream until it ends, which rejects.
 *
 * @param {import("./connection.js").Env} env
 * @param {import("./http.js").Loop} loop
 * @param {AbortSignal} signal
 * @param {Record<string, string>} parameters
 */
export async function follow(env, loop, signal, parameters) {
  const { query } = loop.feed;
  const search = new URLSearchParams({ ...parameters, soft: "1", query: JSON.stringify(query) });
  if (loop.token?.text) search.set("ticket", await ticketFor(env, loop.token, signal));
  if (signal.aborted) throw signal.reason;
  const source = new env.EventSource(`${env.base}?${search}`);
  const events = new EventFeed(env, loop.feed);
  let heard = false;
  let last = "";
  try {
    await new Promise((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason));
      const late = () => reject(troubled(lost("no first byte"), "silent"));
      const timer = env.patience && setTimeout(late, env.patience);
      for (const name of [...FRAMES, ...MESSAGES]) {
        source.addEventListener(name, (/** @type {MessageEvent} */ { data, lastEventId }) => {
          clearTimeout(timer);
          heard = true;
          // Events without an id of their own carry the one before.
          const id = lastEventId === last ? undefined : lastEventId;
          last = lastEventId;
          try {
            events.take(name, data, id);
          } catch (thrown) {
            reject(thrown);
          }
        });
      }
      source.addEventListener("error", () => {
        clearTimeout(timer);
        reject(lost("the stream was cut"));
      });
    });
  } catch (thrown) {
    // EventSource hides why it was refused. A plain request tells.
    if (!heard && !signal.aborted) await ask(env, { query, signal }, loop.token);
    throw thrown;
  } finally {
    source.close();
  }
}

/**
 * @param {import("./connection.js").Env} env
 * @param {{ text: string }} token
 * @param {AbortSignal} signal
 * @returns {Promise<string>}
 */
async function ticketFor(env, token, signal) {
  const init = { method: "POST", headers: headersOf(token), signal };
  const response = await env.fetch(`${env.base}/ticket`, init).catch((thrown) => {
    throw signal.aborted ? thrown : lost(`unreachable: ${thrown.message}`);
  });
  if (response.status !== 200) throw await failureOf(response);
  return (await response.json()).ticket;
}
