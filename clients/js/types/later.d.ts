/**
 * What carries feeds, and can be stopped.
 *
 * @typedef {import("./live-window.js").Carrier & { wake: () => void, stop: () => void }} Inner
 */
/**
 * @template {Inner} I
 * @param {Promise<I>} loading
 * @param {() => void} failed
 * @returns {Inner & { inner: () => I | undefined }}
 */
export function later<I extends Inner>(loading: Promise<I>, failed: () => void): Inner & {
    inner: () => I | undefined;
};
/**
 * What carries feeds, and can be stopped.
 */
export type Inner = import("./live-window.js").Carrier & {
    wake: () => void;
    stop: () => void;
};
