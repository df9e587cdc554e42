// What can be asked for: the tier's schema where it tells one, else what is seen in rows.

export const OPERATORS = {
  eq: "=", ne: "≠", gt: ">", gte: "≥", lt: "<", lte: "≤", in: "in", notin: "not in",
  like: "like", ilike: "ilike", isnull: "is null", isnotnull: "is not null",
};
const NUMBERS = ["int", "double", "decimal"];
const ORDERED = ["eq", "ne", "gt", "gte", "lt", "lte", "in", "notin", "isnull", "isnotnull"];
const TEXT = [...ORDERED.slice(0, 8), "like", "ilike", "isnull", "isnotnull"];

export const isNumber = (column) => NUMBERS.includes(column?.type);
export const takesNone = (op) => op === "isnull" || op === "isnotnull";
export const takesList = (op) => op === "in" || op === "notin";

export async function loadSchema(base) {
  try {
    const response = await fetch(`${base}/schema`);
    if (!response.ok) return null;
    return (await response.json()).entities;
  } catch {
    return null;
  }
}

/** The operators that suit a column. */
export function operatorsOf(column) {
  if (column?.operators?.length) return column.operators;
  if (column?.type === "bool") return ["eq", "ne", "isnull", "isnotnull"];
  return column?.type && column.type !== "string" ? ORDERED : TEXT;
}

/** Reads what was typed as a value of the column; throws where it is none. */
export function parseValue(text, column, op) {
  if (takesList(op)) return text.split(",").map((part) => parseOne(part.trim(), column));
  return parseOne(text, column);
}

function parseOne(text, column) {
  if (isNumber(column)) {
    if (text.trim() === "" || Number.isNaN(Number(text))) throw new Error(`${column.name}: a number is needed`);
    // Digits beyond a double's stay text: tiers compare decimals as they are written.
    return column.type === "decimal" && String(Number(text)) !== text.trim() ? text.trim() : Number(text);
  }
  if (column?.type === "bool") return text.trim() === "true" || text.trim() === "1";
  return text;
}

export function formatValue(value) {
  if (Array.isArray(value)) return value.map(formatValue).join(", ");
  return typeof value === "string" ? value : value === undefined ? "" : JSON.stringify(value);
}

/** Columns guessed from a row, where the tier describes nothing. */
export function columnsOf(row) {
  return Object.entries(row ?? {}).map(([name, value]) => ({
    name,
    type: typeof value === "number" ? "double" : typeof value === "boolean" ? "bool" : "",
    sortable: true,
  }));
}
