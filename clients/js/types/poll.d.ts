/**
 * Asks once. Returns null where nothing is new.
 *
 * @param {Pick<import("./connection.js").Env, "base" | "fetch">} env
 * @param {Omit<Parameters<typeof request>[2], "headers">} what
 * @param {{ text: string } | null} token
 */
export function ask(env: Pick<import("./connection.js").Env, "base" | "fetch">, what: Omit<Parameters<typeof request>[2], "headers">, token: {
    text: string;
} | null): Promise<any>;
/**
 * Polls once. Returns whether the next poll may follow at once.
 *
 * @param {import("./connection.js").Env} env
 * @param {import("./http.js").Loop} loop
 * @param {AbortSignal} signal
 * @param {boolean} long whether the bridge may be held
 */
export function poll(env: import("./connection.js").Env, loop: import("./http.js").Loop, signal: AbortSignal, long: boolean): Promise<boolean>;
import { request } from "./request.js";
