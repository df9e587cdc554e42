/**
 * Applies whole groups. Rows that did not change stay the same objects; if none did, the list stays
 * the same, too. A frame that is none throws Unreadable; an op that is not known changes nothing.
 *
 * @param {readonly Row[]} rows
 * @param {any} frames
 * @param {readonly Row[]} [shown] rows on screen, which a snapshot may bring again
 * @returns {readonly Row[]}
 */
export function applyFrames(rows: readonly Row[], frames: any, shown?: readonly Row[]): readonly Row[];
/**
 * Rows of a whole window, those that are shown already as the same objects.
 *
 * @param {any} rows
 * @param {readonly Row[]} [shown]
 */
export function rowsFrom(rows: any, shown?: readonly Row[]): readonly Row[];
/** @typedef {import("./types.js").Row} Row */
/** @type {readonly Row[]} */
export const NO_ROWS: readonly Row[];
/** A message that can't be what the bridge sends: to go on after it would be a silent gap. */
export class Unreadable extends Error {
}
export type Row = import("./types.js").Row;
