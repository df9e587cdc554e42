// What is on the wire: the latest messages, and figures of them.

import { make } from "./builder.js";
import { Plot } from "./plot.js";

const KEPT = 200;
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
  const words = frames.slice(0, 6).map(({ op, agg_id, old_index, new_index }) => {
    const from = old_index >= 0 && op !== "reset" ? ` ${old_index}` : "";
    const to = new_index >= 0 && op !== "reset" ? ` → ${new_index}` : "";
    return `${op} ${agg_id ?? ""}${from}${to}`;
  });
  const more = frames.length > 6 ? ` and ${frames.length - 6} more` : "";
  return [`${frames.length} ${frames.length === 1 ? "frame" : "frames"}`, words.join(", ") + more];
}

export class Wire {
  constructor(pane) {
    this.details = pane.querySelector(".wire");
    this.list = this.details.querySelector("ol");
    this.output = this.details.querySelector("output");
    this.rateNow = pane.querySelector(".rate-now");
    this.lagNow = pane.querySelector(".lag-now");
    this.rate = new Plot(pane.querySelector(".plot.rate"));
    this.lag = new Plot(pane.querySelector(".plot.lag"));
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
    this.frames += frames.length;
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
        return make("li", { title: text.slice(0, 2000) }, time, ` ${arrow} `, make("b", {}, title), ` ${text.slice(0, 400)}`);
      }),
    );
  }
}
