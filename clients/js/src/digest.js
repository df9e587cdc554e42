// The digest of a window: both sides compute it, so that a difference does not stay unseen.

/** @type {Uint32Array | undefined} */
let table;

function crcTable() {
  const made = new Uint32Array(256);
  for (let n = 0; n < 256; n++) {
    let c = n;
    for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
    made[n] = c;
  }
  return made;
}

/**
 * CRC-32 (IEEE) of bytes.
 *
 * @param {Uint8Array} bytes
 */
export function crc32(bytes) {
  table ??= crcTable();
  let crc = -1;
  for (const byte of bytes) crc = table[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return ~crc >>> 0;
}

/**
 * A version as the digest counts it: 0 where JavaScript has lost its digits.
 *
 * @param {number} version
 */
export const exactVersion = (version) => (Number.isSafeInteger(version) ? version : 0);

/**
 * The digest of rows in window order: 8 lower-case hex digits.
 *
 * @param {readonly import("./types.js").Row[]} rows
 */
export function digestOf(rows) {
  const text = rows.map(({ agg_id, version }) => `${agg_id}\n${exactVersion(version)}\n`).join("");
  return crc32(new TextEncoder().encode(text)).toString(16).padStart(8, "0");
}
