// The shorthand of a query, made into a LiveQuery of the wire.

/** @type {Record<string, string>} */
const OPS = {
  "=": "eq",
  "!=": "ne",
  ">": "gt",
  ">=": "gte",
  "<": "lt",
  "<=": "lte",
  "not-in": "notin",
  null: "isnull",
  "not-null": "isnotnull",
};

/**
 * @param {import("./types.js").Where} condition
 * @returns {any}
 */
function toCondition(condition) {
  if (Array.isArray(condition)) {
    const [column, sign, value] = condition;
    // A sign that is not listed goes to the bridge, which names the field in its refusal.
    const op = Object.hasOwn(OPS, sign) ? OPS[sign] : sign;
    return { column, op, ...(value !== undefined && { value }) };
  }
  const { or } = /** @type {any} */ (condition ?? {});
  return Array.isArray(or) && or.length ? { or: or.map(toCondition) } : condition;
}

/** @param {string | { column: string, desc?: boolean }} key */
function toSortKey(key) {
  if (typeof key !== "string") return key;
  return key[0] === "-" ? { column: key.slice(1), desc: true } : { column: key };
}

/**
 * Makes a LiveQuery. What is one already is taken as it is. The given query is not changed.
 *
 * @param {import("./types.js").Query} query
 * @returns {import("./types.js").Query & { where?: any[], sort?: any[] }}
 */
export function toLiveQuery(query) {
  const { where, sort } = query;
  return /** @type {any} */ ({
    ...query,
    ...(Array.isArray(where) && { where: where.map(toCondition) }),
    ...(Array.isArray(sort) && { sort: sort.map(toSortKey) }),
  });
}
