// The explorer: queries side by side, and the link that is them.

import { Pane, copyText } from "./pane.js";
import { loadSchema } from "./schema.js";

const $ = (id) => document.getElementById(id);
const base = new URL(document.querySelector('meta[name="livequery-base"]').content, location.href).href;

const panes = new Set();
let entities = null;
let forgetting = 0;

function say(text) {
  $("said").textContent = text;
  clearTimeout(forgetting);
  forgetting = setTimeout(() => ($("said").textContent = ""), 4000);
}

/** The queries in the page's link; nothing where it has none, or is spoilt. */
function specsInLink() {
  try {
    const specs = JSON.parse(decodeURIComponent(location.hash.slice(1)));
    return Array.isArray(specs) ? specs.filter((spec) => spec?.q && typeof spec.q === "object") : [];
  } catch {
    return [];
  }
}

/** A query to begin with: the first entity, by its first column that is neither key nor text of any length. */
function firstQuery() {
  const entity = entities?.find(({ name }) => name === "flights") ?? entities?.[0];
  if (!entity) return { entity: "" };
  const wanted = entity.columns.find(({ name, sortable }) => sortable && name === "est_dep");
  const column = wanted ?? entity.columns.find(({ sortable }) => sortable);
  return { entity: entity.name, ...(column ? { sort: [{ column: column.name }] } : {}) };
}

function keepLink() {
  const specs = [...panes].map((pane) => pane.spec);
  history.replaceState(null, "", `#${encodeURIComponent(JSON.stringify(specs))}`);
}

function add({ q, t }) {
  let pane = null; // it calls back before it is made
  pane = new Pane({
    base,
    entities,
    query: q,
    transport: t,
    say,
    onChange: () => pane && keepLink(),
    onRemove: (gone) => {
      panes.delete(gone);
      gone.close();
      keepLink();
      $("add").focus();
    },
  });
  panes.add(pane);
  $("panes").append(pane.element);
  return pane;
}

function open(specs) {
  for (const pane of panes) pane.close();
  panes.clear();
  for (const spec of specs) add(spec);
  keepLink();
}

$("base").textContent = base;
$("add").addEventListener("click", () => {
  const pane = add({ q: firstQuery() });
  keepLink();
  pane.element.scrollIntoView({ block: "nearest" });
  pane.element.querySelector("select, input").focus();
});
$("share").addEventListener("click", async () => {
  const copied = await copyText(location.href);
  $("share").textContent = copied ? "Copied" : "The link is in the address bar";
  say(copied ? "Link copied" : "The link is in the address bar");
  setTimeout(() => ($("share").textContent = "Copy link"), 1500);
});
addEventListener("hashchange", () => open(specsInLink()));
setInterval(() => panes.forEach((pane) => pane.tick()), 1000);

entities = await loadSchema(base);
$("board").hidden = !entities?.some(({ name }) => name === "flights");
const specs = specsInLink();
open(specs.length ? specs : [{ q: firstQuery() }]);
