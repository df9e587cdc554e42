/** @returns {import("./types.js").Store} */
export function indexedDbStore(): import("./types.js").Store;
