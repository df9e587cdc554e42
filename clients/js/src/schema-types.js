// TypeScript types of a schema: one interface per entity, and a map of all.

/** @type {Record<string, string>} */
const TYPES = {
  bool: "boolean",
  int: "number",
  double: "number",
  decimal: "number | string",
  string: "string",
  timestamp: "string",
  date: "string",
  bytes: "string",
  json: "unknown",
};

/** What a type's name does not say. @type {Record<string, string>} */
const NOTES = { timestamp: "RFC 3339", date: "YYYY-MM-DD", bytes: "base64", int: "64 bits at the tier" };

/** @param {string} text */
const isName = (text) => /^[A-Za-z_$][\w$]*$/.test(text);

/** @param {string} text */
const keyOf = (text) => (isName(text) ? text : JSON.stringify(text));

/** A comment that its text can't end. @param {(string | undefined)[]} parts @param {string} indent */
function comment(parts, indent) {
  const text = parts.filter(Boolean).join(". ").replaceAll("*/", "* /").replace(/\s+/g, " ");
  return text && `${indent}/** ${text} */\n`;
}

/** @param {string} name @param {Set<string>} taken */
function interfaceName(name, taken) {
  const words = name.split(/[^\p{L}\p{N}]+/u).filter(Boolean);
  const joined = words.map((word) => word[0].toUpperCase() + word.slice(1)).join("") || "Entity";
  const base = /^\p{N}/u.test(joined) ? `_${joined}` : joined;
  let free = base;
  for (let n = 2; taken.has(free); n++) free = `${base}${n}`;
  taken.add(free);
  return free;
}

/**
 * @param {{ entities: { name: string, description?: string, columns?: { name: string, type?: string, nullable?: boolean, description?: string }[] }[] }} schema
 *   as `{base}/schema` has it
 * @returns {string}
 */
export function typesOf({ entities }) {
  const taken = new Set(["Entities"]);
  const named = entities.map((entity) => ({ ...entity, as: interfaceName(entity.name, taken) }));
  const interfaces = named.map(({ as, description, columns = [] }) => {
    const members = columns.map(({ name, type = "json", nullable, description: about }) => {
      const base = TYPES[type] ?? "unknown";
      const full = nullable && base !== "unknown" ? `${base} | null` : base;
      return `${comment([about, NOTES[type]], "  ")}  ${keyOf(name)}: ${full};\n`;
    });
    return `${comment([description], "")}export interface ${as} {\n${members.join("")}}\n`;
  });
  const map = named.map(({ name, as }) => `  ${keyOf(name)}: ${as};\n`).join("");
  return `// Written by: npx livequery-client types\n\n${interfaces.join("\n")}\nexport interface Entities {\n${map}}\n`;
}
