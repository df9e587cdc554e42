// The reducer: what frames do to a window. Rows are found by agg_id, never by index arithmetic.

/** @typedef {import("./types.js").Row} Row */

/** @type {readonly Row[]} */
export const NO_ROWS = Object.freeze([]);

/** A message that can't be what the bridge sends: to go on after it would be a silent gap. */
export class Unreadable extends Error {}

/**
 * Makes a row of a frame, or of a row that went through JSON.
 *
 * @param {any} frame
 * @returns {Row}
 */
function rowOf({ agg_id = "", version = 0, row = null, cursor = { values: null } }) {
  return Object.freeze({ agg_id, version, row, cursor });
}

/**
 * Returns the row that is held where the frame brings nothing new, so that it stays the same object.
 *
 * @param {any} frame
 * @param {Row | undefined} held
 */
function renewed(frame, held) {
  const row = rowOf(frame);
  return held?.version === row.version && JSON.stringify(held) === JSON.stringify(row) ? held : row;
}

/** @param {any} frame */
function check(frame) {
  const { op, agg_id = "", new_index } = frame ?? {};
  const placed = op === "enter" || op === "move";
  if (typeof op !== "string" || typeof agg_id !== "string" || (placed && !(new_index >= 0))) {
    throw new Unreadable("a frame that is none");
  }
}

/**
 * Applies whole groups. Rows that did not change stay the same objects; if none did, the list stays
 * the same, too. A frame that is none throws Unreadable; an op that is not known changes nothing.
 *
 * @param {readonly Row[]} rows
 * @param {any} frames
 * @param {readonly Row[]} [shown] rows on screen, which a snapshot may bring again
 * @returns {readonly Row[]}
 */
export function applyFrames(rows, frames, shown = rows) {
  if (!Array.isArray(frames)) throw new Unreadable("frames are no list");
  let next = rows.slice();
  /** @type {Map<string, Row> | undefined} */
  let before;
  for (const frame of frames) {
    check(frame);
    const { op, agg_id = "" } = frame;
    if (op === "reset") {
      next = [];
      before = new Map(shown.map((row) => [row.agg_id, row]));
      continue;
    }
    const at = next.findIndex((row) => row.agg_id === agg_id);
    const row = () => renewed(frame, at < 0 ? before?.get(agg_id) : next[at]);
    if (op === "enter" || op === "move") {
      const made = row();
      if (at >= 0) next.splice(at, 1);
      next.splice(frame.new_index, 0, made); // splice stops at the end by itself
    } else if (op === "leave" || op === "unmatch") {
      if (at >= 0) next.splice(at, 1);
    } else if (op === "update" || op === "match") {
      if (at >= 0) next[at] = row();
      else if (op === "match") next.push(row());
    }
  }
  return settle(next, shown);
}

/**
 * Rows of a whole window, those that are shown already as the same objects.
 *
 * @param {any} rows
 * @param {readonly Row[]} [shown]
 */
export function rowsFrom(rows, shown = NO_ROWS) {
  if (!Array.isArray(rows)) throw new Unreadable("rows are no list");
  const before = new Map(shown.map((row) => [row.agg_id, row]));
  return settle(rows.map((row) => renewed(row ?? {}, before.get(row?.agg_id ?? ""))), shown);
}

/**
 * @param {Row[]} next
 * @param {readonly Row[]} shown
 */
function settle(next, shown) {
  const same = next.length === shown.length && next.every((row, at) => row === shown[at]);
  return same ? shown : Object.freeze(next);
}
