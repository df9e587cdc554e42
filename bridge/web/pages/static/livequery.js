// The browser library of the live-query bridge: one live query, kept as a list of rows.
// It speaks core (wire.md §3 and §4) over Server-Sent Events or a WebSocket.
//
// Laws
// 1. Frames are applied by agg_id, never by index arithmetic (semantics.md, "The reducer").
// 2. What is on screen stays there until something whole replaces it: a snapshot is built aside
//    and swapped in, and half of one is thrown away when the connection breaks.
// 3. Decisions (applyFrame, LiveWindow, mayReturn) are plain and synchronous. A link only moves
//    frames; LiveQuery alone owns the timers that decide when rows are shown.
// 4. After close() nothing is called any more.

/** Without an end mark, a snapshot shorter than its limit is over when nothing follows it. */
const QUIET_MS = 100;
/** Animation frames stop in hidden tabs; rows must not. */
const HIDDEN_PAINT_MS = 250;
const BACKOFF_MS = { first: 500, most: 15_000 };
/** A connection that lasted this long starts its back-off anew. */
const STABLE_MS = 5_000;

const entry = ({ agg_id = "", version = 0, row, cursor }) => ({ agg_id, version, row, cursor });
const isOf = ({ agg_id = "" }) => (held) => held.agg_id === agg_id;
const without = (window, frame) => window.filter((held) => !isOf(frame)(held));
const replace = (window, frame) =>
  window.map((held) => (isOf(frame)(held) ? entry(frame) : held));
const insert = (window, frame) => {
  const next = without(window, frame);
  next.splice(Math.max(0, frame.new_index), 0, entry(frame)); // splice stops at the end by itself
  return next;
};

const REDUCERS = new Map([
  ["reset", () => []],
  ["leave", without],
  ["unmatch", without],
  ["update", replace],
  ["enter", insert],
  ["move", insert],
  ["match", (window, frame) =>
    window.some(isOf(frame)) ? replace(window, frame) : [...window, entry(frame)]],
]);

/** The ops of the contract; `delta` stands for those it does not list yet. */
export const OPS = [...REDUCERS.keys(), "delta"];

/**
 * Applies one frame to a window, a list of {agg_id, version, row, cursor}, and returns the new
 * list. Rows that did not change stay the same objects. An unknown op changes nothing.
 */
export function applyFrame(window, frame, limit = Infinity) {
  const next = REDUCERS.get(frame.op)?.(window, frame) ?? window;
  return next.length > limit ? next.slice(0, limit) : next;
}

/** Applies a whole group. Only its end is cut to the limit: in between a row may be over. */
export function applyGroup(window, frames, limit = Infinity) {
  const next = frames.reduce((held, frame) => applyFrame(held, frame), window);
  return next.length > limit ? next.slice(0, limit) : next;
}

/** Tells whether a WebSocket close code invites the client back (wire.md §6). */
export function mayReturn(code) {
  // 1005 and 1014 are what proxies make of a lost backend.
  const passing = [1001, 1005, 1006, 1011, 1012, 1013, 1014];
  return passing.includes(code) || (code >= 4000 && code < 4500);
}

/** A window on screen and, from a reset on, its successor in the making. Knows no time. */
export class LiveWindow {
  #shown;
  #building = null;
  #whole = true;
  #frames = [];
  #nextLimit;

  constructor(limit = Infinity) {
    this.#shown = { rows: [], limit };
    this.#nextLimit = limit;
  }

  /** True when the rows may be shown; false while a snapshot may still have frames to come. */
  get whole() {
    return this.#whole;
  }

  /** True when take() has something new: frames, or a snapshot that has become whole. */
  get pending() {
    return this.#frames.length > 0 || (this.#building !== null && this.#whole);
  }

  /** The limit of a reanchor counts from the reset that answers it. */
  set limit(limit) {
    this.#nextLimit = limit;
  }

  receive(frame) {
    this.#frames.push(frame);
    if (frame.op === "reset") {
      this.#building = { rows: [], limit: this.#nextLimit };
      this.#whole = false;
      return;
    }
    const target = this.#building ?? this.#shown;
    target.rows = applyFrame(target.rows, frame);
    // Snapshots have no stream_id: a frame that has one is of the live group behind it.
    this.#whole ||= Boolean(frame.stream_id) || target.rows.length >= target.limit;
  }

  /** Declares the snapshot complete, for want of more. */
  settle() {
    this.#whole = true;
  }

  /** The connection broke: half a snapshot is never shown. */
  lost() {
    if (!this.#whole) this.#building = null;
    this.#whole = true;
  }

  /** Swaps a whole snapshot in; returns the rows to show and the frames since the last call. */
  take() {
    if (this.#building && this.#whole) {
      this.#shown = this.#building;
      this.#building = null;
    }
    const frames = this.#frames;
    this.#frames = [];
    // The bridge sends the leaves of rows over the limit; this only hides one still on its way.
    return { rows: this.#shown.rows.slice(0, this.#shown.limit), frames };
  }
}

/** Full jitter: a crowd that was cut together must not come back together. */
class Backoff {
  #attempt = 0;
  #env;
  #upSince = Infinity;

  constructor(env) {
    this.#env = env;
  }

  up() {
    this.#upSince = Math.min(this.#upSince, this.#env.performance.now());
  }

  next() {
    if (this.#env.performance.now() - this.#upSince > STABLE_MS) this.#attempt = 0;
    this.#upSince = Infinity;
    const most = Math.min(BACKOFF_MS.most, BACKOFF_MS.first * 2 ** this.#attempt++);
    return this.#env.Math.random() * most;
  }
}

/**
 * The seam to a transport. Once opened, a link calls `on.text(json)` per frame, and
 * `on.lost(detail)` or `on.over(state, detail)`; the latter is its last word. It carries the query to
 * open with from then on, and offers open(), reanchor(query, command), retry(reason) and close().
 */
class Link {
  constructor({ base, query, env, on }) {
    Object.assign(this, { base, query, env, on, backoff: new Backoff(env) });
  }

  receive(text) {
    this.backoff.up();
    this.on.text(text);
  }

  retry(reason, code) {
    this.drop();
    const retryIn = this.backoff.next();
    this.timer = this.env.setTimeout(() => this.open(), retryIn);
    this.on.lost({ reason, code, retryIn });
  }

  close() {
    this.env.clearTimeout(this.timer);
    this.drop();
  }
}

class SseLink extends Link {
  open() {
    // soft=1: EventSource gives up for good on any status but 200, even on a passing 503.
    const query = encodeURIComponent(JSON.stringify(this.query));
    const url = `${this.base}?soft=1&query=${query}`;
    const source = (this.source = new this.env.EventSource(url));
    for (const op of OPS) source.addEventListener(op, ({ data }) => this.receive(data));
    source.addEventListener("error", () => {
      if (source !== this.source) return;
      if (source.readyState === 2) this.#ask(url, source);
      else this.on.lost({ reason: "connection lost" });
    });
  }

  drop() {
    this.source?.close();
    this.source = null;
  }

  reanchor(query) {
    this.query = query;
    this.close();
    this.open();
  }

  /** EventSource hides why it gave up. One plain request tells, and whether to come back. */
  async #ask(url, source) {
    let status = 0;
    let problem = {};
    try {
      const answer = await this.env.fetch(url, { headers: { accept: "text/event-stream" } });
      status = answer.status;
      if (answer.ok) await answer.body?.cancel();
      else problem = await answer.json();
    } catch {
      // No network, or a proxy's page instead of a problem: the status has to do.
    }
    if (source !== this.source) return;
    const reason = problem.detail || problem.title || (status ? `HTTP ${status}` : "unreachable");
    const refused = status >= 400 && ((status < 500 && status !== 429) || status === 501);
    if (refused) this.on.over("failed", { reason, code: status });
    else this.retry(status === 200 ? "connection lost" : reason, status);
  }
}

class WsLink extends Link {
  open() {
    const url = new URL(`${this.base}/ws`, this.env.location.href);
    url.protocol = url.protocol.replace("http", "ws");
    const socket = (this.socket = new this.env.WebSocket(url.href));
    // Every handler asks whose it is: a dropped socket may still deliver what it holds.
    const mine = (handle) => (event) => socket === this.socket && handle(event);
    socket.onopen = mine(() => this.#send({ action: "subscribe", query: this.query }));
    socket.onmessage = mine(({ data }) => this.receive(data));
    socket.onclose = mine(({ code, reason }) => {
      if (mayReturn(code)) this.retry(reason || "connection lost", code);
      else if (code === 1000) this.on.over("ended", { reason: reason || "completed", code });
      else this.on.over("failed", { reason: reason || `close code ${code}`, code });
    });
  }

  drop() {
    const socket = this.socket;
    this.socket = null;
    socket?.close();
  }

  reanchor(query, command) {
    this.query = query; // also what a later reconnect subscribes to
    if (this.socket?.readyState === 1) this.#send({ action: "reanchor", ...command });
  }

  #send(command) {
    this.socket.send(JSON.stringify(command));
  }
}

/** Streamed mode (1) has no bound: its limit is that of the first page. */
const boundOf = ({ mode, limit }) => (mode === 1 ? Infinity : limit);

const LINKS = { sse: SseLink, ws: WsLink };

/** One live query. Made by liveQuery(). */
export class LiveQuery {
  #env;
  #window;
  #link;
  #query;
  #tell;
  #state;
  #up = false;
  #open = true;
  #quiet;
  #paint;

  constructor(query, { base, transport, onChange, onState, env }) {
    this.#env = env;
    this.#query = query;
    this.#tell = { onChange, onState };
    this.#window = new LiveWindow(boundOf(query));
    this.#become("connecting", {});
    const on = {
      text: (text) => this.#text(text),
      lost: (detail) => this.#end("reconnecting", detail),
      over: (state, detail) => this.#end(state, detail),
    };
    this.#link = new LINKS[transport]({ base, query, env, on });
    this.#link.open();
  }

  /** Moves the window. A limit left out (or 0) keeps the one in force. */
  reanchor({ cursor = null, limit = 0 } = {}) {
    this.#query = { ...this.#query, cursor, limit: limit || this.#query.limit };
    this.#window.limit = boundOf(this.#query);
    this.#link.reanchor(this.#query, { cursor, limit });
  }

  close() {
    this.#open = false;
    this.#unschedule();
    this.#link?.close();
  }

  #text(text) {
    if (!this.#open) return;
    let frame;
    try {
      frame = JSON.parse(text);
    } catch {
      this.#link.retry("unreadable frame"); // going on would be a silent gap
      return;
    }
    this.#up = true;
    this.#window.receive(frame);
    this.#schedule();
  }

  /** A group comes in one chunk, but as events of their own: rows wait for the next frame. */
  #schedule() {
    this.#env.clearTimeout(this.#quiet);
    if (!this.#window.whole) {
      this.#quiet = this.#env.setTimeout(() => {
        this.#window.settle();
        this.#commit();
      }, QUIET_MS);
    } else if (!this.#paint) {
      this.#paint = {
        frame: this.#env.requestAnimationFrame?.(() => this.#commit()),
        timer: this.#env.setTimeout(() => this.#commit(), HIDDEN_PAINT_MS),
      };
    }
  }

  #unschedule() {
    this.#env.clearTimeout(this.#quiet);
    if (this.#paint?.frame) this.#env.cancelAnimationFrame(this.#paint.frame);
    this.#env.clearTimeout(this.#paint?.timer);
    this.#paint = null;
  }

  #commit() {
    this.#unschedule();
    const waiting = !this.#window.whole; // a reset came behind live frames: its rows are due
    if (this.#window.pending) {
      const { rows, frames } = this.#window.take();
      this.#tell.onChange?.(rows, frames);
    }
    if (!this.#open) return; // closed from within onChange
    if (waiting) this.#schedule();
    else if (this.#up) this.#become("live", {});
  }

  #end(state, detail) {
    if (!this.#open) return;
    this.#up = false;
    this.#window.lost();
    this.#commit();
    if (this.#open) this.#become(state, detail);
  }

  #become(state, detail) {
    if (state === "live" && this.#state === "live") return;
    this.#state = state;
    this.#tell.onState?.(state, detail);
  }
}

/**
 * Opens a live query and keeps it open.
 *
 * onChange(rows, frames): the whole window, in order, after one or more whole groups, and the
 *   frames that led there. Each row is {agg_id, version, row, cursor}; unchanged rows are the
 *   same objects as before.
 * onState(state, detail): connecting, live, reconnecting {reason, retryIn?}, failed {reason, code},
 *   ended {reason}. The rows stay during reconnecting; failed and ended are final.
 */
export function liveQuery(query, { base = "/api/v1/live", transport = "sse", env = globalThis, ...on }) {
  return new LiveQuery(query, { base, transport, env, ...on });
}
