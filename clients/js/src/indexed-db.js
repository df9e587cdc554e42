// The store of `persist: "indexedDB"`. What it holds is read at the start, so that it is at hand.

const WINDOWS = "windows";
/** The windows that were kept last stay. */
const MOST = 50;

/** @param {IDBOpenDBRequest} opening @returns {import("./types.js").Store} */
export function storeIn(opening) {
  /** @type {Map<string, any>} */
  const held = new Map();
  let loaded = false;
  const database = done(opening);
  const loading = database.then(async (db) => {
    const store = db.transaction(WINDOWS).objectStore(WINDOWS);
    const [keys, values] = await Promise.all([done(store.getAllKeys()), done(store.getAll())]);
    keys.forEach((key, at) => held.set(String(key), values[at]));
    loaded = true;
  });
  loading.catch(() => {});
  const write = async (/** @type {(store: IDBObjectStore) => void} */ work) => {
    const transaction = (await database).transaction(WINDOWS, "readwrite");
    work(transaction.objectStore(WINDOWS));
    await new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onerror = transaction.onabort = () => reject(transaction.error);
    });
  };
  return {
    get: (key) => (loaded ? held.get(key) : loading.then(() => held.get(key))),
    set(key, value) {
      held.set(key, { ...value, at: Date.now() });
      return write((store) => {
        store.put(held.get(key), key);
        const old = [...held].sort(([, a], [, b]) => (b.at ?? 0) - (a.at ?? 0)).slice(MOST);
        for (const [one] of old) {
          held.delete(one);
          store.delete(one);
        }
      });
    },
    delete(key) {
      held.delete(key);
      return write((store) => void store.delete(key));
    },
  };
}

/**
 * @template T
 * @param {IDBRequest<T>} request
 * @returns {Promise<T>}
 */
function done(request) {
  return new Promise((resolve, reject) => {
    if (request.readyState === "done") return request.error ? reject(request.error) : resolve(request.result);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
