// Requests to the bridge, and the failures that come back.

import { failure, lost } from "./error.js";

/** What is longer goes into a body: proxies refuse long request lines. */
const LONGEST_URL = 4_000;

/** @param {{ text: string } | null} token @returns {Record<string, string>} */
export const headersOf = (token) => (token?.text ? { authorization: `Bearer ${token.text}` } : {});

/**
 * Marks a failure as one that another transport may not have.
 *
 * @template {Error} E
 * @param {E} error
 * @param {string} kind
 */
export const troubled = (error, kind) => Object.defineProperty(error, "kind", { value: kind });

/**
 * @param {Pick<import("./connection.js").Env, "base" | "fetch">} env
 * @param {string} path below the base path
 * @param {{ query: any, parameters?: Record<string, string>, wrap?: any, headers: Record<string, string>, signal?: AbortSignal | null }} what
 *   `wrap`: members that go beside the query, in a body
 * @returns {Promise<Response>} rejects with a LiveError where no answer came, or with the signal's reason
 */
export async function request(env, path, { query, parameters = {}, wrap, headers, signal }) {
  const url = (/** @type {Record<string, string>} */ search) => {
    const text = String(new URLSearchParams(search));
    return env.base + path + (text && `?${text}`);
  };
  const text = JSON.stringify(query);
  const short = url({ ...parameters, query: text });
  /** @type {RequestInit} */
  const init = { headers, signal, cache: "no-store" };
  try {
    if (!wrap && short.length <= LONGEST_URL) return await env.fetch(short, init);
    return await env.fetch(url(parameters), {
      ...init,
      method: "POST",
      headers: { ...headers, "content-type": "application/json" },
      body: wrap ? JSON.stringify({ query, ...wrap }) : text,
    });
  } catch (thrown) {
    if (signal?.aborted) throw thrown;
    throw troubled(lost(`unreachable: ${/** @type {any} */ (thrown)?.message ?? thrown}`), "unreachable");
  }
}

/** @param {Response} response */
export async function failureOf(response) {
  const seconds = Number(response.headers.get("retry-after"));
  let told;
  try {
    told = /json/.test(response.headers.get("content-type") ?? "") ? await response.json() : null;
  } catch {
    // Half a problem document: the status has to do.
  }
  response.body?.cancel().catch(() => {});
  return failure(response.status, told, seconds > 0 ? seconds * 1000 : undefined);
}
