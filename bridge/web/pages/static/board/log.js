// What the bridge does, in view: counters per op, the latest groups, and the last change in words.

import { flightName, hhmm, lateness, statusName } from "./rows.js";

const SHOWN_GROUPS = 60;
const COUNTED = ["reset", "enter", "leave", "move", "update"];

function el(tag, className, text = "") {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  return node;
}

/** Splits frames into groups: a run of equal stream_id, or a snapshot from its reset on. */
function groupsOf(frames) {
  const groups = [];
  for (const frame of frames) {
    const last = groups.at(-1);
    const joins =
      last?.[0].op === "reset"
        ? frame.op === "enter" && !frame.stream_id
        : last && frame.op !== "reset" && last[0].stream_id === frame.stream_id;
    if (joins) last.push(frame);
    else groups.push([frame]);
  }
  return groups;
}

/** Where a frame puts or takes its row, counted from 1 as on the board. */
function place({ op, old_index: from, new_index: to }) {
  if (op === "reset" || op === "delta") return "";
  if (op === "leave") return `${from + 1} →`;
  if (op === "enter") return `→ ${to + 1}`;
  return from === to ? `${to + 1}` : `${from + 1} → ${to + 1}`;
}

/** Says a group in words: its first frame is the cause, the rest makes room or fills up. */
function sentence(group, row, before) {
  const [{ op, old_index: from, new_index: to }] = group;
  if (op === "reset") return `a new window of ${group.length - 1} departures`;
  const name = row.dest_name ? `${flightName(row)} to ${row.dest_name}` : flightName(row);
  if (op === "enter") return `${name} comes on at row ${to + 1}`;
  if (op === "leave") return `${name} is off the board`;
  const news = [];
  if (before?.status !== row.status) news.push(statusName(row.status).toLowerCase());
  if (before?.est_dep !== row.est_dep) {
    const late = lateness(row);
    news.push(`now ${hhmm(row.est_dep)}${late > 0 ? ` (+${late} min)` : ""}`);
  }
  if (from !== to) news.push(`row ${from + 1} → ${to + 1}`);
  return `${name}: ${news.join(", ") || "updated"}`;
}

export class FrameLog {
  #parts;
  #counts = new Map(COUNTED.map((op) => [op, 0]));
  #total = 0;
  #rows = new Map(); // agg_id → its latest row, to name a leave, which may come without one
  #changedAt = null;

  /** `parts`: the elements {list, counters, total, change, ago}. */
  constructor(parts) {
    this.#parts = parts;
    for (const op of COUNTED) {
      const cell = document.createElement("div");
      cell.dataset.op = op;
      cell.append(el("dt", "", op), el("dd", "", "0"));
      parts.counters.append(cell);
    }
    setInterval(() => this.#showAge(), 1000);
  }

  add(frames) {
    for (const group of groupsOf(frames)) this.#addGroup(group);
    this.#parts.total.textContent = this.#total.toLocaleString("en");
    for (const cell of this.#parts.counters.children) {
      cell.lastChild.textContent = this.#counts.get(cell.dataset.op).toLocaleString("en");
    }
    while (this.#parts.list.childElementCount > SHOWN_GROUPS) this.#parts.list.lastChild.remove();
    this.#showAge();
  }

  #addGroup(group) {
    if (group[0].op === "reset") this.#rows.clear();
    const cause = group[0].agg_id;
    const before = this.#rows.get(cause);
    for (const { agg_id, row } of group) if (row) this.#rows.set(agg_id, row);
    const row = this.#rows.get(cause) ?? { flight: cause };
    this.#parts.change.textContent = sentence(group, row, before);
    this.#parts.list.prepend(this.#item(group));
    this.#changedAt = Date.now();
    for (const { op, agg_id } of group) {
      this.#total += 1;
      this.#counts.set(op, (this.#counts.get(op) ?? 0) + 1);
      if (op === "leave") this.#rows.delete(agg_id);
    }
  }

  #item(group) {
    const item = el("li", "group");
    const time = el("time", "", new Date().toLocaleTimeString("en-GB"));
    if (group[0].stream_id) time.title = `stream_id ${group[0].stream_id}`;
    const lines = document.createElement("div");
    if (group[0].op === "reset") {
      lines.append(this.#line(group[0], "new window"));
      const enters = group.length - 1;
      if (enters) lines.append(this.#line(group[1], `${enters} rows`, `→ 1–${enters}`));
    } else {
      lines.append(...group.map((frame) => this.#line(frame, this.#nameOf(frame))));
    }
    item.append(time, lines);
    return item;
  }

  #line(frame, text, where = place(frame)) {
    const line = el("div", "frame");
    const badge = el("span", "op", frame.op);
    badge.dataset.op = frame.op;
    line.append(badge, el("span", "", text), el("span", "place", where));
    if (frame.agg_id) line.title = `${frame.agg_id}, version ${frame.version ?? 0}`;
    return line;
  }

  #nameOf({ agg_id }) {
    const row = this.#rows.get(agg_id);
    return row ? `${flightName(row)} ${row.dest ?? ""}` : agg_id;
  }

  #showAge() {
    if (this.#changedAt === null) return;
    const seconds = Math.round((Date.now() - this.#changedAt) / 1000);
    const age = seconds < 60 ? `${seconds} s ago` : `${Math.floor(seconds / 60)} min ago`;
    this.#parts.ago.textContent = seconds < 1 ? "just now" : age;
  }
}
