// Windows of the last visit: read before the bridge has spoken, stored after each group.

/** @typedef {import("./feed.js").Feed} Feed */

/** The store of `persist: "indexedDB"`. Its database is opened while the code that uses it is loaded. */
export async function indexedDbStore() {
  const opening = indexedDB.open("livequery", 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore("windows");
  return (await import("./indexed-db.js")).storeIn(opening);
}

export class Persistence {
  #get;
  #keeper;

  /** @param {import("./types.js").Store | Promise<import("./types.js").Store>} store */
  constructor(store) {
    /** @type {any} */
    let held = "then" in store ? undefined : store;
    const loading = Promise.resolve(store);
    loading.then((loaded) => (held = loaded), () => {});
    this.#get = (/** @type {string} */ key) => (held ? held.get(key) : loading.then((one) => one.get(key)));
    this.#keeper = Promise.all([import("./keeper.js"), loading]).then(([{ Keeper }, one]) => new Keeper(one));
    this.#keeper.catch(() => {});
  }

  /**
   * Hands a feed what was kept, then opens it: at once where the store answers at once.
   *
   * @param {string} key
   * @param {Feed} feed
   * @param {() => void} open
   */
  recall(key, feed, open) {
    feed.onKept = (denied) =>
      void this.#keeper.then((keeper) => (denied ? keeper.forget(key) : keeper.keep(feed, key)), () => {});
    /** @type {any} */
    let kept;
    try {
      kept = this.#get(key);
    } catch {
      // A store that fails keeps nothing.
    }
    if (kept?.then) {
      kept.then((/** @type {any} */ value) => feed.restore(value), () => {}).then(open);
    } else {
      feed.restore(kept);
      open();
    }
  }

  /** Stores what is due, now. */
  flush() {
    this.#keeper.then((keeper) => keeper.flush(), () => {});
  }
}
