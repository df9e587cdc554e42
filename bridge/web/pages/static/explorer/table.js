// The rows of a view, each at the place that its index gives it: a move is one transform.
//
// Laws: an element is a row's, by agg_id, from its enter to its leave; rows that the list forgets
// when it moves on go without a sign, for they have not left the result.

import { isNumber } from "./schema.js";

const ROW = 32;
const LEAVE_MS = 350;
const WIDEST = 30;
const still = matchMedia("(prefers-reduced-motion: reduce)");

export class Table {
  /** @param {HTMLElement} root `.rows` @param {(near: "start" | "end") => void} onNear */
  constructor(root, onNear) {
    this.root = root;
    this.table = root.querySelector(".table");
    this.head = root.querySelector(".head");
    this.body = root.querySelector(".body");
    this.onNear = onNear;
    root.addEventListener("scroll", () => this.look(), { passive: true });
    this.reset([]);
  }

  /** Begins anew with these columns; those that the query sorts by or asks for come first. */
  reset(columns, { sort = [], where = [] } = {}) {
    const asked = [...sort, ...where].map(({ column }) => columns.find(({ name }) => name === column));
    columns = [...new Set([...asked.filter(Boolean), ...columns])];
    this.columns = columns;
    this.widths = columns.map(({ name }) => name.length);
    this.elements = new Map();
    this.first = 0;
    this.count = 0;
    this.body.replaceChildren();
    this.root.scrollTop = 0;
    this.head.replaceChildren(
      ...columns.map((column) => {
        const cell = document.createElement("span");
        cell.setAttribute("role", "columnheader");
        const key = sort.find(({ column: name }) => name === column.name);
        cell.className = [isNumber(column) && "number", key && "sorted", key?.desc && "down"].filter(Boolean).join(" ");
        if (key) cell.setAttribute("aria-sort", key.desc ? "descending" : "ascending");
        cell.textContent = column.name;
        return cell;
      }),
    );
  }

  /** Shows rows, the first of which has this index in the list. */
  render(rows, first, more) {
    const moved = first !== this.first;
    this.first = first;
    this.count = rows.length;
    this.measure(rows);
    const before = this.elements;
    this.elements = new Map();
    rows.forEach((row, at) => {
      const known = before.get(row.agg_id);
      before.delete(row.agg_id);
      this.elements.set(row.agg_id, this.place(known, row, first + at, before.size > 0 || this.shown));
    });
    for (const { element } of before.values()) this.drop(element, moved);
    this.shown = true;
    this.body.style.height = `${(first + rows.length + (more ? 1 : 0)) * ROW}px`;
    this.table.setAttribute("aria-rowcount", more ? "-1" : String(first + rows.length + 1));
    this.look();
  }

  place(known, row, index, animate) {
    const element = known?.element ?? document.createElement("div");
    if (!known) {
      element.className = animate && !still.matches ? "row enter" : "row";
      element.setAttribute("role", "row");
      this.body.append(element);
    }
    if (known?.row !== row) this.fill(element, row.row ?? {}, known?.row.row);
    if (known?.index !== index) {
      element.style.transform = `translateY(${index * ROW}px)`;
      element.setAttribute("aria-rowindex", index + 2);
    }
    return { element, row, index };
  }

  fill(element, row, before) {
    this.columns.forEach((column, at) => {
      const value = row[column.name];
      const same = before && Object.is(before[column.name], value);
      if (same) return;
      const cell = document.createElement("span");
      cell.setAttribute("role", "cell");
      cell.textContent = value === null || value === undefined ? "null" : show(value);
      cell.title = cell.textContent;
      cell.className = [
        isNumber(column) ? "number" : "",
        value === null || value === undefined ? "null" : "",
        before ? "changed" : "",
      ].join(" ");
      if (element.children[at]) element.children[at].replaceWith(cell);
      else element.append(cell);
    });
  }

  drop(element, silently) {
    if (silently || still.matches) return element.remove();
    element.classList.add("leave");
    element.setAttribute("aria-hidden", "true");
    setTimeout(() => element.remove(), LEAVE_MS);
  }

  /** Widens columns for what is shown; never narrows them, so that nothing jumps. */
  measure(rows) {
    let changed = !this.table.style.getPropertyValue("--cols");
    for (const { row } of rows) {
      this.columns.forEach(({ name }, at) => {
        const length = Math.min(WIDEST, show(row?.[name] ?? null).length);
        if (length > this.widths[at]) {
          this.widths[at] = length;
          changed = true;
        }
      });
    }
    if (changed) this.table.style.setProperty("--cols", this.widths.map((n) => `minmax(${n + 3}ch, ${n}fr)`).join(" "));
  }

  /** Asks for more rows where the end of those held is near. */
  look() {
    const { scrollTop, clientHeight } = this.root;
    const top = scrollTop / ROW - this.first;
    if (top + clientHeight / ROW > this.count - 12) this.onNear("end");
    else if (top < 8 && this.first > 0) this.onNear("start");
  }
}

const show = (value) => (typeof value === "string" ? value : JSON.stringify(value));
