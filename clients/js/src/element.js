// <live-table src query columns>: a table that stays current, without a line of script.

import { LiveClient } from "./livequery.js";

/** Tables with the same `src` have one connection. @type {Map<string, { client: LiveClient, users: number }>} */
const clients = new Map();

/** @param {any} value */
const textOf = (value) =>
  value === null || value === undefined ? "" : typeof value === "object" ? JSON.stringify(value) : String(value);

/** Node has no elements: there the module can be imported, and does nothing. */
const Base = /** @type {typeof HTMLElement} */ (globalThis.HTMLElement ?? class {});

/**
 * `src`: the bridge's base path. `query`: JSON. `columns`: their names, by comma or white space;
 * without it those of the first row. Attributes: `status`, and `error` where there is one. After
 * each change it dispatches `change`.
 */
export class LiveTable extends Base {
  static observedAttributes = ["src", "query", "columns"];

  /** @type {LiveClient | undefined} */
  #client;
  /** @type {import("./livequery.js").LiveWindow | undefined} */
  #live;
  #src = "";
  #head = "";
  #due = false;
  /** @type {Map<string, { tr: HTMLTableRowElement, row: any }>} */
  #drawn = new Map();

  /** The rows shown. */
  get rows() {
    return this.#live?.rows ?? [];
  }

  connectedCallback() {
    this.#schedule();
  }

  disconnectedCallback() {
    // A table that is only moved in the page is connected again at once.
    queueMicrotask(() => !this.isConnected && this.#close());
  }

  /** @param {string} _ @param {string | null} before @param {string | null} now */
  attributeChangedCallback(_, before, now) {
    if (before !== now) this.#schedule();
  }

  /** Attributes come one by one: they are read when all of them are there. */
  #schedule() {
    if (this.#due) return;
    this.#due = true;
    queueMicrotask(() => {
      this.#due = false;
      if (this.isConnected) this.#open();
    });
  }

  #open() {
    this.#close();
    const src = this.getAttribute("src");
    const text = this.getAttribute("query");
    if (!src || !text) return;
    let query;
    try {
      query = JSON.parse(text);
    } catch {
      return this.#say("failed", "query: no JSON");
    }
    let shared = clients.get(src);
    if (!shared) clients.set(src, (shared = { client: new LiveClient(src), users: 0 }));
    shared.users++;
    this.#src = src;
    this.#client = shared.client;
    const live = (this.#live = shared.client.live(query));
    live.subscribe(() => this.#draw());
    this.#draw();
  }

  #close() {
    this.#live?.close();
    this.#live = undefined;
    if (!this.#client) return;
    this.#client = undefined;
    const shared = clients.get(this.#src);
    if (shared && --shared.users === 0) {
      clients.delete(this.#src);
      shared.client.close();
    }
  }

  #draw() {
    const { rows, status, error } = /** @type {import("./livequery.js").LiveWindow} */ (this.#live);
    this.#say(status, error?.message);
    const columns = this.#columns(rows);
    const body = this.#table(columns).tBodies[0];
    const staying = new Set(rows.map(({ agg_id }) => agg_id));
    for (const [id, { tr }] of this.#drawn) {
      if (staying.has(id)) continue;
      tr.remove();
      this.#drawn.delete(id);
    }
    rows.forEach((row, at) => {
      const held = this.#drawn.get(row.agg_id);
      const tr = held?.tr ?? document.createElement("tr");
      if (held?.row !== row) this.#fill(tr, row, columns);
      this.#drawn.set(row.agg_id, { tr, row });
      // What is in its place is not touched: moving a node would cost focus and animations.
      if (body.children[at] !== tr) body.insertBefore(tr, body.children[at] ?? null);
    });
    this.dispatchEvent(new Event("change"));
  }

  /** @param {readonly import("./types.js").Row[]} rows */
  #columns(rows) {
    const text = this.getAttribute("columns") ?? "";
    const named = text.split(/[\s,[\]"]+/).filter(Boolean); // a JSON list of names will do, too
    return named.length ? named : Object.keys(rows[0]?.row ?? {});
  }

  /** @param {string[]} columns */
  #table(columns) {
    let table = this.querySelector("table");
    const head = JSON.stringify(columns);
    if (table?.tBodies.length && head === this.#head) return table;
    this.#head = head;
    this.#drawn.clear();
    if (!table) this.append((table = document.createElement("table")));
    // The head is a row by its role: every `tr` is a row of the window.
    const thead = document.createElement("thead");
    thead.setAttribute("role", "row");
    for (const name of columns) {
      const th = document.createElement("th");
      th.scope = "col";
      th.textContent = name;
      thead.append(th);
    }
    table.replaceChildren(thead, document.createElement("tbody"));
    return table;
  }

  /** @param {HTMLTableRowElement} tr @param {import("./types.js").Row} row @param {string[]} columns */
  #fill(tr, row, columns) {
    tr.dataset.id = row.agg_id;
    columns.forEach((name, at) => {
      const cell = tr.cells[at] ?? tr.insertCell();
      const text = textOf(row.row?.[name]);
      if (cell.textContent !== text) cell.textContent = text; // data is text, never markup
    });
  }

  /** @param {string} status @param {string} [error] */
  #say(status, error) {
    this.setAttribute("status", status);
    if (error) this.setAttribute("error", error);
    else this.removeAttribute("error");
  }
}

globalThis.customElements?.define("live-table", LiveTable);
