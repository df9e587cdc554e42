// One query: what is asked, its rows, and how it goes.

import { LiveClient } from "/client/livequery.js";

import { Builder } from "./builder.js";
import { columnsOf } from "./schema.js";
import { SNIPPETS } from "./snippets.js";
import { Table } from "./table.js";
import { Wire } from "./wire.js";

const PAGE = 40;
const PAGING_RESTS_MS = 5000;
let made = 0;

export class Pane {
  /**
   * @param {{ base: string, entities: any[] | null, query: any, transport?: string,
   *   onChange: () => void, onRemove: (pane: Pane) => void, say: (text: string) => void }} parts
   */
  constructor({ base, entities, query, transport = "auto", onChange, onRemove, say }) {
    this.number = ++made;
    Object.assign(this, { base, entities, query, transport, onChange, say });
    this.element = document.getElementById("pane").content.firstElementChild.cloneNode(true);
    const $ = (this.$ = (selector) => this.element.querySelector(selector));
    this.table = new Table($(".rows"), (near) => this.load(near));
    this.wire = new Wire(this.element);
    this.builder = new Builder($(".builder"), entities, (asked) => this.ask(asked), (problem) => this.complain(problem));
    this.json = $("textarea");
    this.json.onchange = () => this.readJson();
    $("[name=transport]").value = transport;
    $("[name=transport]").onchange = ({ target }) => {
      this.transport = target.value;
      this.open();
    };
    $("[name=copy]").onchange = ({ target }) => this.copy(target);
    $(".remove").onclick = () => onRemove(this);
    this.ask(query);
  }

  /** What a share link keeps of it. */
  get spec() {
    return this.transport === "auto" ? { q: this.query } : { q: this.query, t: this.transport };
  }

  ask(query) {
    this.query = query;
    this.builder.show(query);
    this.json.value = JSON.stringify(query, null, 2);
    this.open();
  }

  readJson() {
    try {
      const query = JSON.parse(this.json.value);
      if (!query || typeof query !== "object" || Array.isArray(query)) throw new Error("an object is needed");
      this.ask(query);
    } catch (error) {
      this.complain(`This is no query: ${error.message}`);
    }
  }

  get columns() {
    return this.entities?.find(({ name }) => name === this.query.entity)?.columns ?? null;
  }

  open() {
    this.client?.close();
    this.complain("");
    this.begun = false;
    this.loading = null;
    clearTimeout(this.resting);
    this.unpaged = ""; // why the list can't be moved on, for now
    this.element.dataset.state = "";
    const { entity, limit, where, sort, mode, cursor } = this.query;
    this.$("h2").textContent = entity || "No entity";
    this.$(".rows").setAttribute("aria-label", `Rows of ${entity}, query ${this.number}`);
    this.table.reset(this.columns ?? [], this.query);
    this.empty(entity ? "Waiting for rows …" : "Choose an entity.");
    this.onChange();
    if (!entity) return;
    const wire = this.wire;
    this.client = new LiveClient(this.base, {
      transport: this.transport,
      onMessage: (message, direction) => wire.take(message, direction),
    });
    // With a limit, a mode or a cursor it is the one window that was asked for; else the whole list.
    const whole = limit === undefined && !mode && !cursor;
    const view = whole ? this.client.list({ entity, where, sort }, { page: PAGE }) : this.client.live(this.query);
    this.view = view;
    view.subscribe(() => this.view === view && this.render());
    this.render();
  }

  render() {
    const { rows, status, error } = this.view.getSnapshot();
    const state = this.$(".status");
    state.dataset.state = this.element.dataset.state = status;
    state.textContent = status;
    this.$(".rows").setAttribute("aria-busy", String(status === "stale" || status === "reconnecting"));
    if (status !== "live") this.unpaged = "";
    if (error) this.complain([error.field, error.message].filter(Boolean).join(": "));
    else if (status === "live") this.complain(this.unpaged);
    if (!this.columns && rows.length && !this.table.columns.length) {
      const columns = columnsOf(rows[0].row);
      this.table.reset(columns, this.query);
      this.builder.see(columns);
    }
    const { first = 0, last = rows.length - 1 } = this.view.window ?? {};
    this.table.render(rows, first, Boolean(this.view.hasMore));
    this.$(".held").textContent = rows.length ? `${first + 1} – ${last + 1}${this.view.hasMore ? " of more" : ""}` : "0";
    this.empty(rows.length || status === "connecting" ? "" : "No rows match.");
    if (rows.length || status === "live") this.begun = true;
    if (status === "failed" && !rows.length) this.empty("No rows: the query was refused.");
    else if (!this.begun) this.empty(error ? "" : "Waiting for rows …");
  }

  empty(text) {
    this.$(".empty").textContent = text;
    this.$(".empty").hidden = !text;
  }

  /** Moves the list on, one step at a time. */
  load(near) {
    const view = this.view;
    if (this.loading || this.unpaged || view?.status !== "live") return;
    const step = near === "end" ? view.hasMore && view.loadMore : view.hasBefore && view.loadBack;
    if (!step) return;
    this.loading = step
      .call(view)
      .catch((error) => this.view === view && this.rest(error))
      .finally(() => {
        if (this.view !== view) return;
        this.loading = null;
        this.render();
      });
  }

  /** Pages no more: what is refused without a request would be asked for without end. */
  rest({ message, retryable }) {
    this.unpaged = message;
    if (!retryable) return;
    this.resting = setTimeout(() => {
      this.unpaged = "";
      this.render();
    }, PAGING_RESTS_MS);
  }

  complain(text) {
    const problem = this.$(".problem");
    problem.hidden = !text;
    problem.textContent = text;
  }

  async copy(select) {
    const make = SNIPPETS[select.value];
    const name = select.selectedOptions[0].textContent;
    select.value = "";
    if (make) this.say(await copyText(make(this.base, this.query)) ? `Copied as ${name}` : "The clipboard is not to be had here");
  }

  tick() {
    this.wire.tick();
  }

  close() {
    clearTimeout(this.resting);
    this.client?.close();
    this.element.remove();
  }
}

/** Copies text; returns whether that was possible. */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without https there is no clipboard: the old way, through a selection.
    const focused = /** @type {HTMLElement | null} */ (document.activeElement);
    const area = Object.assign(document.createElement("textarea"), { value: text });
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    focused?.focus();
    return copied;
  }
}
