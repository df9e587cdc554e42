// A connection whose code is still being loaded: pages load only what they need.

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
export function later(loading, failed) {
  /** @type {I | undefined} */
  let inner;
  loading.then(
    (loaded) => (inner = loaded),
    (thrown) => {
      console.error(thrown);
      failed();
    },
  );
  const call = (/** @type {keyof Inner} */ name) => (/** @type {any} */ feed) => {
    if (inner) inner[name](feed);
    else loading.then((loaded) => loaded[name](feed), () => {});
  };
  return {
    inner: () => inner,
    open: call("open"),
    move: call("move"),
    close: call("close"),
    wake: /** @type {() => void} */ (call("wake")),
    stop: /** @type {() => void} */ (call("stop")),
  };
}
