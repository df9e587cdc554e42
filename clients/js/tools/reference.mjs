// Writes the parts of docs/browser.md that follow from the sources: the API reference and the sizes.
// With --check, tells instead whether they are up to date.

import { readFileSync, writeFileSync } from "node:fs";

import ts from "typescript";

import { coreSize, entrySizes } from "./size.mjs";

const DOCUMENT = new URL("../../../docs/browser.md", import.meta.url);
const sourceOf = (name) => new URL(`../src/${name}.js`, import.meta.url).pathname;
const CLASSES = { livequery: ["LiveClient"], view: ["LiveView"], "live-window": ["LiveWindow"], "live-list": ["LiveList"] };
const SHAPES = ["Options", "Query", "Row", "Failure", "Initial", "Store"];
const HOOKS = ["useLive", "useLiveList"];
const FUNCTIONS = { react: HOOKS, vue: HOOKS, svelte: HOOKS, solid: HOOKS, "tanstack-db": ["liveCollectionOptions"] };

const files = [...Object.keys(CLASSES), ...Object.keys(FUNCTIONS), "element", "types"].map(sourceOf);
const program = ts.createProgram(files, { allowJs: true, checkJs: true, noEmit: true, target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext, strict: true, lib: ["lib.es2023.d.ts", "lib.dom.d.ts"] });
const checker = program.getTypeChecker();
const FLAGS = ts.TypeFormatFlags.NoTruncation | ts.TypeFormatFlags.OmitParameterModifiers | ts.TypeFormatFlags.UseAliasDefinedOutsideCurrentScope;

const clean = (text) => text.replace(/import\("[^"]*"\)\./g, "").replace(/\s+/g, " ").replaceAll("|", "\\|");
const about = (symbol) => clean(ts.displayPartsToString(symbol.getDocumentationComment(checker)));
const exported = (file, name) => checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(sourceOf(file)))).find((symbol) => symbol.name === name);

/** What JSDoc says of parameters and results. */
function parts(symbol) {
  return symbol
    .getJsDocTags(checker)
    .filter(({ name, text }) => text && (name === "param" || name === "returns"))
    .map(({ name, text }) => {
      const said = clean(ts.displayPartsToString(text));
      const [first, ...rest] = said.split(" ");
      return name === "param" ? rest.length && `\`${first}\`: ${rest.join(" ")}` : `Result: ${said}`;
    })
    .filter(Boolean)
    .map((text) => `${text.replace(/[.:]?$/, "")}.`);
}

function signature(symbol, node) {
  const type = checker.getTypeOfSymbolAtLocation(symbol, node);
  const [call] = type.getCallSignatures();
  if (!call) return `${symbol.name}: ${checker.typeToString(type, node, FLAGS)}`;
  const generic = call.typeParameters?.length ? "<T>" : "";
  const given = call.parameters.map((parameter) => {
    const declared = parameter.valueDeclaration;
    const optional = declared && ts.isParameter(declared) && checker.isOptionalParameter(declared);
    const name = parameter.name.startsWith("__") ? "options" : parameter.name;
    return `${name}${optional ? "?" : ""}: ${checker.typeToString(checker.getTypeOfSymbolAtLocation(parameter, node), node, FLAGS).replace(/ \| undefined$/, "")}`;
  });
  return `${symbol.name}${generic}(${given.join(", ")}): ${checker.typeToString(call.getReturnType(), node, FLAGS)}`;
}

const row = (code, ...texts) => `| \`${clean(code)}\` | ${texts.filter(Boolean).join(" ")} |`;
const table = (rows) => ["| | |", "|---|---|", ...rows].join("\n");

function classReference(file, name) {
  const symbol = exported(file, name);
  const node = symbol.valueDeclaration;
  const instance = checker.getDeclaredTypeOfSymbol(symbol);
  const own = instance.getProperties().filter(({ parent, name: of, valueDeclaration }) => parent === symbol && valueDeclaration && !/^(#|__#)/.test(of));
  const rows = own.map((member) => (member.name.startsWith("__@") ? row("[Symbol.asyncIterator]()", about(member)) : row(signature(member, node), about(member), ...parts(member))));
  const made = name === "LiveClient" ? [row("new LiveClient(url: string \\| URL, options?: Options)", "`url`: the bridge's base path, absolute or relative to the page.")] : [];
  const also = name === "LiveWindow" || name === "LiveList" ? "\nAnd all of LiveView.\n" : "";
  return `### ${name}\n${also}\n${table([...made, ...rows])}\n`;
}

function shapeReference(name) {
  const symbol = exported("types", name);
  const type = checker.getDeclaredTypeOfSymbol(symbol);
  const rows = type.getProperties().map((member) => {
    const node = member.valueDeclaration ?? symbol.declarations[0];
    const optional = member.flags & ts.SymbolFlags.Optional ? "?" : "";
    const text = checker.typeToString(checker.getTypeOfSymbolAtLocation(member, node), node, FLAGS).replace(/ \| undefined$/, "");
    if (member.name === "fetch") return row("fetch?: typeof fetch", about(member));
    return row(`${member.name}${optional}: ${text}`, about(member));
  });
  return `### ${name}\n\n${table(rows)}\n`;
}

function functionReference(file) {
  const rows = FUNCTIONS[file].map((name) => {
    const symbol = exported(file, name);
    return row(signature(symbol, symbol.valueDeclaration), about(symbol), ...parts(symbol));
  });
  return `### livequery-client/${file}\n\n${table(rows)}\n`;
}

/** The element: its attributes as the class tells them, and what of it scripts may read. */
function elementReference() {
  const symbol = exported("element", "LiveTable");
  const own = checker.getDeclaredTypeOfSymbol(symbol).getProperties();
  const members = own.filter(({ parent, valueDeclaration, name }) => parent === symbol && ts.isGetAccessor(valueDeclaration) && !/^(#|__#)/.test(name));
  const made = row("<live-table src query columns>", about(symbol));
  return `### livequery-client/element\n\n${table([made, ...members.map((member) => row(signature(member, symbol.valueDeclaration), about(member)))])}\n`;
}

const reference = [
  ...Object.entries(CLASSES).flatMap(([file, names]) => names.map((name) => classReference(file, name))),
  ...SHAPES.map(shapeReference),
  ...Object.keys(FUNCTIONS).map(functionReference),
  elementReference(),
].join("\n");
const sizes = [
  "| | bytes, minified and gzipped |",
  "|---|---|",
  `| \`livequery-client\`, the core | ${await coreSize()} |`,
  ...(await entrySizes()).filter(([name]) => name !== "core" && name !== "element").map(([name, { gzipped }]) => `| \`/${name}\`, beside it | ${gzipped} |`),
].join("\n");

/** @param {string} text @param {string} name @param {string} part */
function put(text, name, part) {
  const [begin, end] = [`<!-- ${name}: written by tools/reference.mjs -->\n`, `<!-- end of ${name} -->`];
  const from = text.indexOf(begin);
  const to = text.indexOf(end);
  if (from < 0 || to < from) throw new Error(`docs/browser.md has no place for ${name}`);
  return `${text.slice(0, from + begin.length)}${part.trim()}\n${text.slice(to)}`;
}

const before = readFileSync(DOCUMENT, "utf8");
const now = put(put(before, "reference", reference), "sizes", sizes);
if (!process.argv.includes("--check")) writeFileSync(DOCUMENT, now);
else if (before !== now) {
  console.error("docs/browser.md: run `npm run docs` in clients/js");
  process.exitCode = 1;
}
