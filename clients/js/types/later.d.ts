/**
 * What carries feeds, and can be stopped.
 *
 * @typedef {import("./live-window.js").Carrier & { wake: () => void, stop: () => void }} Inner
 */
/**
 * @template {Inner} I
 * @param {Promise<I>} loading
 * @returns {Inner & { inner: () => I | undefined }}
 */
export function later<I extends Inner>(loading: Promise<I>): Inner & {
    inner: () => I | undefined;
};
/**
 * What carries feeds, and can be stopped.
 */
export type Inner = import("./live-window.js").Carrier & {
    wake: () => void;
    stop: () => void;
};
