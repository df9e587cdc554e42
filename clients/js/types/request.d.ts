/**
 * @param {Pick<import("./connection.js").Env, "base" | "fetch">} env
 * @param {string} path below the base path
 * @param {{ query: any, parameters?: Record<string, string>, wrap?: any, headers: Record<string, string>, signal?: AbortSignal | null }} what
 *   `wrap`: members that go beside the query, in a body
 * @returns {Promise<Response>} rejects with a LiveError where no answer came, or with the signal's reason
 */
export function request(env: Pick<import("./connection.js").Env, "base" | "fetch">, path: string, { query, parameters, wrap, headers, signal }: {
    query: any;
    parameters?: Record<string, string>;
    wrap?: any;
    headers: Record<string, string>;
    signal?: AbortSignal | null;
}): Promise<Response>;
/** @param {Response} response */
export function failureOf(response: Response): Promise<import("./error.js").LiveError>;
export function headersOf(token: {
    text: string;
} | null): Record<string, string>;
export function troubled<E extends Error>(error: E, kind: string): E;
