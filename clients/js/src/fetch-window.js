// The present window by one request: for servers, scripts, and pages that need it once.

import { digestOf } from "./digest.js";
import { LiveError, failure } from "./error.js";
import { ask } from "./poll.js";
import { rowsFrom } from "./reducer.js";

/**
 * @param {Pick<import("./connection.js").Env, "base" | "fetch" | "credentials">} env
 * @param {{ query: any, signal?: AbortSignal }} what
 */
export async function fetchWindow(env, what) {
  const { credentials } = env;
  for (;;) {
    const token = await unlessAborted(credentials.get(), what.signal);
    try {
      const { rows, pos, digest } = (await ask(env, what, token)) ?? {};
      credentials.accepted();
      const window = { rows: rowsFrom(rows), pos: String(pos), digest };
      if (digest === undefined || digest === digestOf(window.rows)) return window;
      throw failure(502, { message: "the window is not what its digest says" });
    } catch (thrown) {
      const error = /** @type {any} */ (thrown);
      if (error.status === 401 && credentials.refused(token)) continue;
      if (what.signal?.aborted || error instanceof LiveError) throw error;
      throw failure(502, { message: error.message });
    }
  }
}

/**
 * Waits for a page's token, but not beyond the signal.
 *
 * @template T
 * @param {Promise<T>} promise
 * @param {AbortSignal | undefined} signal
 * @returns {Promise<T>}
 */
function unlessAborted(promise, signal) {
  return new Promise((resolve, reject) => {
    promise.then(resolve, reject);
    if (signal?.aborted) reject(signal.reason);
    signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
