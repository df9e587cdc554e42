// The query as controls. It edits a LiveQuery, and leaves alone what it has no control for.

import { OPERATORS, formatValue, operatorsOf, parseValue, takesNone } from "./schema.js";

/** Makes an element with properties and children; strings are text. */
export function make(tag, props = {}, ...children) {
  const element = Object.assign(document.createElement(tag), props);
  element.append(...children);
  return element;
}

const option = (value, text = value, selected = false) => make("option", { value, textContent: text, selected });

function choice(label, values, chosen, onchange) {
  const known = values.some(([value]) => value === chosen);
  const options = values.map(([value, text]) => option(value, text, value === chosen));
  if (!known) options.unshift(option(chosen, chosen, true));
  const select = make("select", { onchange: () => onchange(select.value) }, ...options);
  select.setAttribute("aria-label", label);
  return select;
}

export class Builder {
  /**
   * @param {HTMLFormElement} form
   * @param {any[] | null} entities the tier's, null where it does not tell
   * @param {(query: any) => void} onQuery gets each changed query
   * @param {(problem: string) => void} onProblem
   */
  constructor(form, entities, onQuery, onProblem) {
    this.form = form;
    this.entities = entities;
    this.onQuery = onQuery;
    this.onProblem = onProblem;
    this.query = { entity: "" };
    this.seen = [];
    form.addEventListener("submit", (event) => event.preventDefault());
    form.querySelector(".add-condition").onclick = () => this.add("where", (column) => ({ column: column.name, op: "isnotnull" }));
    form.querySelector(".add-sort").onclick = () => this.add("sort", (column) => ({ column: column.name }));
    this.drawEntity();
  }

  get columns() {
    return this.entities?.find(({ name }) => name === this.query.entity)?.columns ?? this.seen;
  }

  column(name) {
    return this.columns.find((column) => column.name === name);
  }

  show(query) {
    this.query = query;
    this.drawEntity();
    this.draw();
  }

  /** Takes columns seen in rows, where the tier tells none. */
  see(columns) {
    this.seen = columns;
    if (!this.entities) this.draw();
  }

  change(members) {
    const query = { ...this.query, ...members };
    for (const key of ["where", "sort"]) if (!query[key]?.length) delete query[key];
    this.query = query;
    this.draw();
    this.onQuery(query);
  }

  add(key, make_) {
    const used = new Set((this.query[key] ?? []).map(({ column }) => column));
    const column = this.columns.find(({ name, sortable }) => (key === "where" || sortable) && !used.has(name)) ?? this.columns[0];
    if (!column) return this.onProblem("No columns are known yet: edit the JSON.");
    this.change({ [key]: [...(this.query[key] ?? []), make_(column)] });
    this.form.querySelector(`.${key === "where" ? "conditions" : "sorts"} li:last-child select`)?.focus();
  }

  replace(key, at, item) {
    const list = [...(this.query[key] ?? [])];
    if (item) list[at] = item;
    else list.splice(at, 1);
    this.change({ [key]: list });
  }

  drawEntity() {
    const label = this.form.querySelector("label");
    const before = label.querySelector("select, input");
    if (this.entities) {
      const names = this.entities.map(({ name, description }) => [name, description ? `${name}: ${description}` : name]);
      const chosen = this.query.entity || (names[0]?.[0] ?? "");
      before.replaceWith(choice("Entity", names, chosen, (entity) => this.change({ entity, where: [], sort: [] })));
      return;
    }
    const input = make("input", { name: "entity", value: this.query.entity, placeholder: "entity" });
    input.onchange = () => this.change({ entity: input.value, where: [], sort: [] });
    before.replaceWith(input);
  }

  draw() {
    const conditions = (this.query.where ?? []).map((condition, at) => this.drawCondition(condition, at));
    this.form.querySelector(".conditions").replaceChildren(...conditions);
    const sorts = (this.query.sort ?? []).map((sort, at) => this.drawSort(sort, at));
    this.form.querySelector(".sorts").replaceChildren(...sorts);
  }

  drop(key, at, what) {
    const button = make("button", { type: "button", className: "drop", textContent: "✕", onclick: () => this.replace(key, at, null) });
    button.setAttribute("aria-label", `Remove ${what}`);
    return button;
  }

  names() {
    return this.columns.map(({ name }) => [name, name]);
  }

  drawCondition(condition, at) {
    const drop = this.drop("where", at, `condition ${at + 1}`);
    if (condition.or) return make("li", {}, make("code", {}, JSON.stringify(condition)), drop);
    const column = this.column(condition.column);
    const put = (members) => this.replace("where", at, { ...condition, ...members });
    const ops = operatorsOf(column).map((op) => [op, OPERATORS[op]]);
    const parts = [
      choice(`Column of condition ${at + 1}`, this.names(), condition.column, (name) =>
        this.replace("where", at, { column: name, op: "isnotnull" })),
      choice(`Operator of condition ${at + 1}`, ops, condition.op, (op) => this.chooseOp(at, condition, op)),
    ];
    if (!takesNone(condition.op)) {
      const input = make("input", { value: formatValue(condition.value), placeholder: column?.type || "value" });
      input.setAttribute("aria-label", `Value of condition ${at + 1}`);
      input.onchange = () => {
        try {
          put({ value: parseValue(input.value, column, condition.op) });
        } catch (error) {
          this.onProblem(error.message);
        }
      };
      parts.push(input);
    }
    return make("li", {}, ...parts, drop);
  }

  chooseOp(at, condition, op) {
    const { value, ...rest } = condition;
    if (takesNone(op)) return this.replace("where", at, { ...rest, op });
    // Until a value is typed the query has none to ask with: draw the field, and wait.
    const item = { ...rest, op, ...(value === undefined || Array.isArray(value) ? {} : { value }) };
    if (item.value !== undefined && !["in", "notin"].includes(op)) return this.replace("where", at, item);
    const where = [...this.query.where];
    where[at] = item;
    this.query = { ...this.query, where };
    this.draw();
    this.form.querySelectorAll(".conditions li")[at].querySelector("input").focus();
  }

  drawSort(sort, at) {
    const put = (members) => this.replace("sort", at, { ...sort, ...members });
    const directions = [["", "ascending"], ["desc", "descending"]];
    return make(
      "li",
      {},
      choice(`Sort key ${at + 1}`, this.names(), sort.column, (column) => put({ column })),
      choice(`Direction of sort key ${at + 1}`, directions, sort.desc ? "desc" : "", (word) => put({ desc: word === "desc" || undefined })),
      this.drop("sort", at, `sort key ${at + 1}`),
    );
  }
}
