// Slots: how many requests all tabs of an origin may hold open at one bridge.

/** Two of a browser's six connections stay free for the page. */
const SLOTS = 4;

/**
 * Takes a slot. Returns what gives it back, or null if none is free. Outside of browsers there is
 * always one.
 *
 * @param {string} base
 * @returns {Promise<(() => void) | null>}
 */
export async function takeSlot(base) {
  const locks = typeof document === "object" ? globalThis.navigator?.locks : undefined;
  if (!locks) return () => {};
  for (let slot = 0; slot < SLOTS; slot++) {
    const release = await tryLock(locks, `livequery:${new URL(base).host}:${slot}`);
    if (release) return release;
  }
  return null;
}

/** @param {LockManager} locks @param {string} name @returns {Promise<(() => void) | null>} */
function tryLock(locks, name) {
  return new Promise((resolve) => {
    locks
      .request(name, { ifAvailable: true }, (lock) => {
        if (!lock) return resolve(null);
        return new Promise((release) => resolve(() => release(undefined)));
      })
      .catch(() => resolve(() => {})); // no locks in this document: go without
  });
}
