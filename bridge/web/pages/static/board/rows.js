// The board's rows: from a window of flights to table rows, one per agg_id, reused while they stay.
// Row data is the tier's, so it is text and nothing else: textContent, never markup.

import { flash, glide, positions, setFlaps, vanish } from "./motion.js";

const STATUSES = new Map([
  ["scheduled", "Scheduled"],
  ["delayed", "Delayed"],
  ["boarding", "Boarding"],
  ["departed", "Departed"],
  ["cancelled", "Cancelled"],
]);

const SVG = "http://www.w3.org/2000/svg";

/** "2013-07-10T05:40" is airport time; a Date would move it into the viewer's zone. */
export const hhmm = (iso) => /T(\d\d:\d\d)/.exec(iso)?.[1] ?? "";
const minutes = (iso) => Date.parse(`${iso}Z`) / 60_000;

export const flightName = (row) => `${row.carrier ?? ""} ${row.flight ?? ""}`.trim();
const airlineName = (row) => String(row.airline ?? "").replace(/ (Inc\.|Co\.|Corporation)$/, "");
export const statusName = (status) => STATUSES.get(status) ?? String(status ?? "");

/** Minutes behind schedule; null when that means nothing. */
export function lateness(row) {
  if (row.status === "cancelled") return null;
  const late = row.delay_min ?? minutes(row.est_dep) - minutes(row.sched_dep);
  return Number.isFinite(late) ? late : null;
}

/** The airport's clock, as far as the window tells it: the latest take-off in it. */
export function clockOf(entries) {
  const times = entries.map(({ row }) => row?.actual_dep).filter(Boolean);
  return times.length ? hhmm(times.sort().at(-1)) : null;
}

function el(tag, className, ...children) {
  const node = document.createElement(tag);
  node.className = className;
  node.append(...children);
  return node;
}

function icon() {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS(SVG, "use"));
  return svg;
}

function createRow(id) {
  const tr = el("tr", "",
    el("td", "time", el("span", "flaps"), el("s", "")),
    el("td", "flight", el("span", "number"), el("span", "airline")),
    el("td", "dest", el("span", "code"), el("span", "place-name")),
    el("td", "status", icon(), el("span", "label"), el("small", "")),
  );
  tr.dataset.id = id;
  tr.setAttribute("role", "row");
  for (const td of tr.children) td.setAttribute("role", "cell");
  return tr;
}

/** Brings a row up to date; returns the cells whose meaning changed. */
function fillRow(tr, row) {
  const late = lateness(row);
  const [time, sched] = [hhmm(row.est_dep), hhmm(row.sched_dep)];
  const plus = late > 0 ? `+${late} min` : "";
  const said = (sched === time ? time : `${time}, scheduled ${sched}`) || "unknown";
  const texts = {
    time: said,
    flight: `${flightName(row)} ${airlineName(row)}`,
    dest: `${row.dest_name ?? ""} ${row.dest ?? ""}`,
    status: `${statusName(row.status)} ${plus}`,
  };
  const changed = [...tr.children].filter((td) => td.dataset.text !== texts[td.classList[0]]);
  for (const td of changed) td.dataset.text = texts[td.classList[0]];

  const put = (selector, text) => (tr.querySelector(selector).textContent = text);
  setFlaps(tr.querySelector(".flaps"), time);
  tr.firstChild.setAttribute("aria-label", said); // tiles are read out letter by letter
  put("s", sched === time ? "" : sched);
  put(".number", flightName(row));
  put(".airline", airlineName(row));
  put(".code", row.dest ?? "");
  put(".place-name", row.dest_name ?? "");
  put(".label", statusName(row.status));
  put("small", plus);
  tr.querySelector(".place-name").title = row.dest_name ?? "";
  const known = STATUSES.has(row.status) ? row.status : "scheduled";
  tr.querySelector("use").setAttribute("href", `#i-${known}`);
  tr.dataset.status = row.status ?? "";
  tr.toggleAttribute("data-late", late > 0);
  return changed;
}

/** Keeps a <tbody> equal to a window. */
export class Board {
  #body;
  #ghosts;
  #rows = new Map(); // agg_id → {tr, entry}

  constructor(body, ghosts) {
    this.#body = body;
    this.#ghosts = ghosts;
  }

  render(entries) {
    const before = positions(this.#body.children);
    const staying = new Set(entries.map(({ agg_id }) => agg_id));
    for (const [id, { tr }] of this.#rows) {
      if (staying.has(id)) continue;
      vanish(tr, before.get(tr), this.#ghosts);
      tr.remove();
      this.#rows.delete(id);
    }
    entries.forEach((entry, i) => this.#place(entry, i));
    glide(this.#body.children, before);
  }

  clear() {
    this.#rows.clear();
    this.#body.replaceChildren();
  }

  #place(entry, i) {
    const held = this.#rows.get(entry.agg_id);
    const tr = held?.tr ?? createRow(entry.agg_id);
    if (held?.entry !== entry) {
      const changed = fillRow(tr, entry.row ?? {});
      if (held) changed.forEach(flash);
      this.#rows.set(entry.agg_id, { tr, entry });
    }
    // Rows already in place are not touched: moving a node would cut its animations short.
    if (this.#body.children[i] !== tr) this.#body.insertBefore(tr, this.#body.children[i] ?? null);
  }
}
