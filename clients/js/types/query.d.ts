/**
 * Makes a LiveQuery. What is one already is taken as it is. The given query is not changed.
 *
 * @param {import("./types.js").Query} query
 * @returns {import("./types.js").Query & { where?: any[], sort?: any[] }}
 */
export function toLiveQuery(query: import("./types.js").Query): import("./types.js").Query & {
    where?: any[];
    sort?: any[];
};
