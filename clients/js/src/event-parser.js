// EventParser: text/event-stream, as the HTML standard has it ("Interpreting an event stream").

export class EventParser {
  #text = "";
  #event = "";
  /** @type {string[]} */
  #data = [];
  /** @type {string | undefined} */
  #id;
  #emit;

  /** @param {(event: string, data: string, id: string | undefined) => void} emit `id`: the event's own */
  constructor(emit) {
    this.#emit = emit;
  }

  /** @param {string} text the next piece, cut anywhere */
  push(text) {
    this.#text += text;
    let from = 0;
    for (;;) {
      const end = this.#text.slice(from).search(/[\r\n]/);
      if (end < 0) break;
      const at = from + end;
      // A carriage return that ends the piece may have its line feed in the next.
      if (this.#text[at] === "\r" && at + 1 === this.#text.length) break;
      this.#line(this.#text.slice(from, at));
      from = at + (this.#text.startsWith("\r\n", at) ? 2 : 1);
    }
    this.#text = this.#text.slice(from);
  }

  /** @param {string} line */
  #line(line) {
    if (line === "") {
      if (this.#data.length) this.#emit(this.#event || "message", this.#data.join("\n"), this.#id);
      this.#event = "";
      this.#data = [];
      this.#id = undefined;
      return;
    }
    const [, field, value = ""] = /** @type {string[]} */ (/^([^:]*)(?:: ?([^]*))?$/.exec(line));
    if (field === "event") this.#event = value;
    else if (field === "data") this.#data.push(value);
    else if (field === "id") this.#id = value;
  }
}
