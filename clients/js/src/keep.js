// Views that several components use: one per client and query, kept while somebody looks.

/** @typedef {import("./livequery.js").LiveClient} LiveClient */
/** @typedef {import("./view.js").LiveView<any>} View */

/** A component that is mounted again at once finds its view still there. */
const LINGER = 1_000;

/** @type {WeakMap<LiveClient, Map<string, { view: View, users: number, timer?: any }>>} */
const kept = new WeakMap();

/**
 * The view of a client under a key, if somebody uses it.
 *
 * @param {LiveClient} client
 * @param {string} key
 */
export const held = (client, key) => kept.get(client)?.get(key)?.view;

/**
 * Uses a view, made if it is not there. Returns it, and what ends that use.
 *
 * @template {View} V
 * @param {LiveClient} client
 * @param {string} key
 * @param {() => V} make
 * @returns {{ view: V, release: () => void }}
 */
export function use(client, key, make) {
  let views = kept.get(client);
  if (!views) kept.set(client, (views = new Map()));
  let entry = views.get(key);
  if (!entry || entry.view.status === "ended") views.set(key, (entry = { view: make(), users: 0 }));
  const mine = entry;
  clearTimeout(mine.timer);
  mine.users++;
  let used = true;
  return {
    view: /** @type {V} */ (mine.view),
    release() {
      if (!used) return;
      used = false;
      if (--mine.users) return;
      mine.timer = setTimeout(() => {
        mine.view.close();
        if (views.get(key) === mine) views.delete(key);
      }, LINGER);
      mine.timer.unref?.();
    },
  };
}
