/** @param {IDBOpenDBRequest} opening @returns {import("./types.js").Store} */
export function storeIn(opening: IDBOpenDBRequest): import("./types.js").Store;
