// What is on the wire: the latest messages, and figures of them.

import { make } from "./builder.js";
import { Plot } from "./plot.js";

const KEPT = 200;
const MOST_NAMED = 6;
const HOUR = 3_600_000;

/** Milliseconds from a change at the tier to now, by its stream_id `ms-seq`; null if that is none. */
function lagOf(frame) {
  const at = Number(String(frame.stream_id ?? "").split("-")[0]);
  const lag = Date.now() - at;
  return at > 0 && Math.abs(lag) < HOUR ? Math.max(0, lag) : null;
}

function framesOf(message) {
  if (Array.isArray(message?.frames)) return message.frames;
  return message?.op ? [message] : [];
}

function summary(message) {
  const frames = framesOf(message);
  if (!frames.length) return [message?.type ?? message?.action ?? "message", JSON.stringify(message)];
  const words = frames.slice(0, MOST_NAMED).map((frame) => `${frame.op} ${placeOf(frame)}`);
  return [countOf(frames), words.join(", ") + moreThan(frames)];
}

const countOf = ({ length }) => `${length} ${length === 1 ? "frame" : "frames"}`;
const moreThan = ({ length }) => (length > MOST_NAMED ? ` and ${length - MOST_NAMED} more` : "");

/** Whose row a frame concerns, and from where to where it goes. */
function placeOf({ op, agg_id = "", old_index, new_index }) {
  if (op === "reset") return "";
  const from = old_index >= 0 ? ` ${old_index}` : "";
  const to = new_index >= 0 ? ` → ${new_index}` : "";
  return `${agg_id}${from}${to}`;
}

/** The frames of a message as elements, each op in its colour. */
function drawn(frames) {
  const parts = frames.slice(0, MOST_NAMED).map((frame) => {
    const op = make("b", { className: "op", textContent: frame.op });
    op.dataset.op = frame.op;
    return make("span", { className: "frame" }, op, ` ${placeOf(frame)}`);
  });
  return [...parts, moreThan(frames)];
}

export class Wire {
  constructor(pane) {
    this.details = pane.querySelector(".wire");
    this.list = this.details.querySelector("ol");
    this.output = this.details.querySelector("output");
    this.rateNow = pane.querySelector(".rate-now");
    this.lagNow = pane.querySelector(".lag-now");
    this.rate = new Plot(pane.querySelector(".plot.rate"), 0);
    this.lag = new Plot(pane.querySelector(".plot.lag"), null);
    this.whole = false;
    this.kept = [];
    this.count = 0;
    this.details.addEventListener("toggle", () => this.draw());
    this.begin();
  }

  begin() {
    this.frames = 0;
    this.lags = [];
  }

  /** Takes a message on its way in or out. */
  take(message, direction) {
    const frames = framesOf(message);
    // A window that is being shown or moved is no change: it would flatten the plot.
    if (direction === "out" || frames[0]?.op === "reset") this.whole = false;
    if (this.whole || message?.type === "window") this.frames += frames.length;
    if (message?.type === "ready") this.whole = true;
    this.count += frames.length;
    for (const frame of frames) {
      const lag = lagOf(frame);
      if (lag !== null) this.lags.push(lag);
    }
    const secret = message?.token !== undefined ? { ...message, token: "…" } : message;
    this.kept.unshift({ message: secret, direction, at: new Date() });
    this.kept.length = Math.min(this.kept.length, KEPT);
    if (!this.due) {
      this.due = true;
      setTimeout(() => this.draw(), 250);
    }
  }

  /** Ends a second: draws its figures. */
  tick() {
    this.lags.sort((a, b) => a - b);
    const lag = this.lags.length ? this.lags[Math.floor(this.lags.length / 2)] : null;
    this.rate.add(this.frames);
    this.lag.add(lag);
    this.rateNow.textContent = String(this.frames);
    if (lag !== null) this.lagNow.textContent = `${lag} ms`;
    this.begin();
  }

  draw() {
    this.due = false;
    this.output.textContent = String(this.count);
    if (!this.details.open) return;
    this.list.replaceChildren(
      ...this.kept.slice(0, 60).map(({ message, direction, at }) => {
        const [title, text] = summary(message);
        const arrow = direction === "out" ? "→" : "←";
        const time = make("time", {}, at.toISOString().slice(11, 23));
        const frames = framesOf(message);
        const rest = frames.length ? drawn(frames) : [text.slice(0, 400)];
        return make("li", { title: text.slice(0, 2000) }, time, ` ${arrow} `, make("b", {}, title), " ", ...rest);
      }),
    );
  }
}
