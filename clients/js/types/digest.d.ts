/**
 * CRC-32 (IEEE) of bytes.
 *
 * @param {Uint8Array} bytes
 */
export function crc32(bytes: Uint8Array): number;
/**
 * The digest of rows in window order: 8 lower-case hex digits.
 *
 * @param {readonly import("./types.js").Row[]} rows
 */
export function digestOf(rows: readonly import("./types.js").Row[]): string;
export function exactVersion(version: number): number;
