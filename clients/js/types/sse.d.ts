/**
 * Follows a stream until it ends, which throws.
 *
 * @param {import("./connection.js").Env} env
 * @param {import("./http.js").Loop} loop
 * @param {AbortSignal} signal
 */
export function stream(env: import("./connection.js").Env, loop: import("./http.js").Loop, signal: AbortSignal): Promise<void>;
