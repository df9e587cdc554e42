/**
 * Follows a stream until it ends, which rejects.
 *
 * @param {import("./connection.js").Env} env
 * @param {import("./http.js").Loop} loop
 * @param {AbortSignal} signal
 * @param {Record<string, string>} parameters
 */
export function follow(env: import("./connection.js").Env, loop: import("./http.js").Loop, signal: AbortSignal, parameters: Record<string, string>): Promise<void>;
