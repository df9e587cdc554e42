/**
 * Takes a slot. Returns what gives it back, or null if none is free. Outside of browsers there is
 * always one.
 *
 * @param {string} base
 * @returns {Promise<(() => void) | null>}
 */
export function takeSlot(base: string): Promise<(() => void) | null>;
