// Feed: one query's window as the bridge tells it. Knows no transport and no time.
//
// Laws
// 1. After a subscribe, the window is built aside, and shown once `ready` has vouched for it by
//    number and digest. What is shown is replaced only by what is whole.
// 2. A window that differs from the bridge's is not trusted: nothing of it is offered again.
// 3. One command is under way at a time: what `ready` answers is never in doubt.

import { digestOf, exactVersion } from "./digest.js";
import { NO_ROWS, applyFrames, rowsFrom } from "./reducer.js";

/** @typedef {import("./types.js").Row} Row */
/** @typedef {import("./error.js").LiveError} LiveError */

export class Feed {
  /** @type {readonly Row[]} */
  rows = NO_ROWS;
  /** Where the bridge is to go on from; "" for none. */
  pos = "";
  /** Whether the bridge has shown it this window, and goes on with it. */
  attached = false;
  /** Whether a command is under way, whose `ready` has not come. */
  waiting = false;
  /** Told of each window that is worth keeping, and of one that is denied. @type {((denied: boolean) => void) | undefined} */
  onKept;

  /** Whether it is over, for good. */
  ended = false;

  #has = false;
  #trusted = true;
  /** @type {{ rows: readonly Row[], pos: string, begun: boolean } | null} */
  #draft = null;
  #asked;
  #base;
  /** @type {{ resolve: () => void, reject: (error: LiveError) => void }[]} */
  #movers = [];
  #show;

  /**
   * @param {any} query a LiveQuery
   * @param {(change: import("./view.js").Change) => void} show
   */
  constructor(query, show) {
    this.query = this.#asked = this.#base = query;
    this.#show = show;
  }

  /** Takes over a window of earlier. One that is none is passed over. @param {any} initial */
  restore(initial) {
    if (!initial || this.#has) return;
    try {
      this.rows = rowsFrom(initial.rows);
      this.pos = typeof initial.pos === "string" ? initial.pos : "";
      this.#has = true;
      this.#show({ rows: this.rows });
    } catch {
      // It was the caller's, or came from a store: the bridge has it better.
    }
  }

  /** Whether the newest query was not asked for yet. */
  get moved() {
    return this.#asked !== this.query;
  }

  /**
   * Begins to ask for the window. Returns what may be offered of the one held.
   *
   * @returns {{ pos: string, known: [string, number][] | null }}
   */
  ask() {
    this.attached = false;
    this.asking();
    const offered = this.#has && this.#trusted;
    this.#draft = { rows: offered ? this.rows : NO_ROWS, pos: "", begun: offered };
    if (!offered) return { pos: "", known: null };
    const ordered = this.query.mode !== 1;
    const known = this.rows.map(
      ({ agg_id, version }) => /** @type {[string, number]} */ ([agg_id, exactVersion(version)]),
    );
    return { pos: this.pos, known: ordered ? known : null };
  }

  /** A command for the newest query is on its way. */
  asking() {
    this.#asked = this.query;
    this.waiting = true;
  }

  /** @param {any} frames whole groups @param {string | undefined} pos */
  frames(frames, pos) {
    const draft = this.#draft;
    if (draft) {
      draft.rows = applyFrames(draft.rows, frames, this.rows);
      draft.begun ||= frames.some((/** @type {any} */ { op }) => op === "reset");
      draft.pos = pos ?? draft.pos;
      return;
    }
    this.rows = applyFrames(this.rows, frames);
    this.pos = pos ?? this.pos;
    this.#show({ rows: this.rows });
    this.onKept?.(false);
  }

  /** The window as a whole, from one answer. @param {any} rows @param {string} pos */
  replace(rows, pos) {
    this.#draft = { rows: rowsFrom(rows, this.rows), pos, begun: true };
  }

  /**
   * The window is complete. Returns false if it is not the bridge's: then it is to be asked anew.
   *
   * @param {{ rows?: number, digest?: string, stale?: boolean }} told
   */
  ready({ rows: count, digest, stale = false }) {
    const draft = this.#draft;
    const rows = draft?.rows ?? this.rows;
    const whole = draft?.begun ?? true;
    const counted = this.#streamed || count === undefined || count === rows.length;
    if (!whole || !counted || !this.#agrees(digest, rows)) return this.#wrong();
    this.#draft = null;
    this.waiting = false;
    this.attached = this.#has = this.#trusted = true;
    this.rows = rows;
    this.pos = draft?.pos || this.pos;
    this.#base = this.#asked;
    this.#show({ rows, status: stale ? "stale" : "live", error: null, whole: true });
    this.onKept?.(false);
    if (!this.moved) for (const { resolve } of this.#movers.splice(0)) resolve();
    return true;
  }

  /**
   * The window as another tab has it, which has compared digests already.
   *
   * @param {{ rows: readonly Row[], pos: string, status: import("./types.js").Status, error: any }} state
   */
  adopt({ rows, pos, status, error }) {
    this.#has = this.attached = true;
    this.waiting = false;
    this.rows = rows;
    this.pos = pos;
    this.#show({ rows, status, error, whole: true });
    this.onKept?.(false);
    if (this.moved || status !== "live") return;
    this.#base = this.#asked;
    for (const { resolve } of this.#movers.splice(0)) resolve();
  }

  /** Another tab's connection says so. @param {import("./view.js").Change} change */
  tell(change) {
    this.#show(change);
  }

  /** Compares digests. Returns as `ready`. @param {string | undefined} digest */
  beat(digest) {
    return this.#draft !== null || this.#agrees(digest, this.rows) || this.#wrong();
  }

  get #streamed() {
    return this.query.mode === 1;
  }

  /** @param {any} digest @param {readonly Row[]} rows */
  #agrees(digest, rows) {
    return this.#streamed || typeof digest !== "string" || digest === digestOf(rows);
  }

  #wrong() {
    console.warn(`livequery: a window of ${this.query.entity} differs from the bridge's: fetched anew`);
    this.distrust();
    this.#show({ status: this.#has ? "stale" : "connecting" });
    return false;
  }

  /** Offers nothing of this window any more. */
  distrust() {
    this.#draft = null;
    this.#trusted = false;
  }

  /** The tier is lost: the window stays. */
  stale() {
    this.#show({ status: "stale" });
  }

  /** The tier is back. */
  live() {
    if (this.attached) this.#show({ status: "live", error: null });
  }

  /** The connection is lost, and will be made again. @param {LiveError} error */
  lost(error) {
    this.#drop();
    this.#show({ status: "reconnecting", error });
  }

  /** The connection is left on purpose, for a while. */
  rest() {
    this.#drop();
    this.#show({ status: this.#has ? "stale" : "connecting" });
  }

  #drop() {
    this.#draft = null;
    this.attached = this.waiting = false;
  }

  /**
   * The bridge refused what was asked. Returns whether there is something to go on with: the query
   * before a move, or one asked for since.
   *
   * @param {LiveError} error
   */
  refused(error) {
    this.waiting = false;
    if (this.moved) return true;
    if (!this.#movers.length) return false;
    this.query = this.#asked = this.#base;
    for (const { reject } of this.#movers.splice(0)) reject(error);
    return true;
  }

  /**
   * Asks for another anchor or size; a transport carries it. Resolves when the window is there.
   *
   * @param {any} query
   * @returns {Promise<void>}
   */
  move(query) {
    this.query = query;
    const moved = new Promise((resolve, reject) => {
      this.#movers.push({ resolve: () => resolve(undefined), reject });
    });
    moved.catch(() => {});
    return /** @type {Promise<any>} */ (moved);
  }

  /** Ends for good. @param {LiveError | null} error null: the tier is done, or the user */
  end(error, cause = error) {
    this.#drop();
    this.ended = true;
    if (error?.status === 401 || error?.status === 403) this.onKept?.(true);
    this.#show({ status: error ? "failed" : "ended", error });
    if (cause) for (const { reject } of this.#movers.splice(0)) reject(cause);
  }
}
