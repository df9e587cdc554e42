// The shapes that go over the library's face. Types only: at run time this file is empty.

/**
 * A row of a window. Frozen, and the same object as long as it did not change.
 *
 * @template {object} [T=any]
 * @typedef {object} Row
 * @property {string} agg_id the row's identity
 * @property {number} version 0 where the tier sends none
 * @property {T} row the row's columns
 * @property {Cursor} cursor the row's place in the order, as `reanchor` takes it
 */

/** @typedef {{ values: any[] | null }} Cursor */

/** @typedef {"=" | "!=" | ">" | ">=" | "<" | "<=" | "in" | "not-in" | "like" | "ilike" | "null" | "not-null"} Sign */
/** @typedef {"eq" | "ne" | "gt" | "gte" | "lt" | "lte" | "in" | "notin" | "like" | "ilike" | "isnull" | "isnotnull"} Op */
/** @typedef {{ column: string, op: Op, value?: any } | { or: readonly Condition[] }} Condition a condition as it is on the wire, or an `or` of any */
/** @typedef {readonly [column: string, sign: Sign | Op, value?: any] | Condition | { or: readonly Where[] }} Where */

/**
 * A live query: a LiveQuery of the wire, or its shorthand, or a mixture of both.
 *
 * @typedef {object} Query
 * @property {string} entity
 * @property {readonly Where[]} [where] all must hold; `{ or: [...] }` nests
 * @property {readonly (string | { column: string, desc?: boolean })[]} [sort] `"-total"` is descending
 * @property {number} [limit] rows of the window
 * @property {Cursor | null} [cursor] the window begins after this place; null is the head
 * @property {0 | 1} [mode] 1 is streamed: no order, no bound
 */

/** @typedef {"connecting" | "live" | "stale" | "reconnecting" | "ended" | "failed"} Status */
/** @typedef {"auto" | "ws" | "sse" | "poll"} Transport */

/**
 * @typedef {object} Failure
 * @property {string} code the gRPC name of the failure
 * @property {number} status its HTTP status; 0 where no answer came
 * @property {string} message
 * @property {string} [field] the part of the query that is at fault
 * @property {boolean} retryable whether the same may succeed later
 */

/**
 * @template {object} [T=any]
 * @typedef {object} Snapshot
 * @property {readonly Row<T>[]} rows
 * @property {Status} status
 * @property {Failure | null} error
 */

/**
 * A window as `client.fetch` returns it, also after JSON.
 *
 * @template {object} [T=any]
 * @typedef {object} Initial
 * @property {readonly Row<T>[]} rows
 * @property {string} pos where a live window goes on from
 * @property {string} [digest]
 */

/**
 * Where windows are kept. The methods may return promises.
 *
 * @typedef {object} Store
 * @property {(key: string) => any} get
 * @property {(key: string, value: Initial) => any} set
 * @property {(key: string) => any} delete
 */

/**
 * @typedef {object} Options
 * @property {() => string | Promise<string>} [token] asked at the start, before expiry, and once after a refusal
 * @property {Transport} [transport] default "auto"
 * @property {boolean} [share] one connection for all tabs of an origin (browsers only)
 * @property {"indexedDB" | Store} [persist] keeps the last windows for the next visit
 * @property {typeof globalThis.fetch} [fetch] in place of the global one
 * @property {any} [WebSocket] in place of the global one
 * @property {any} [EventSource] in place of the global one
 * @property {(message: any, direction: "in" | "out") => void} [onMessage] sees every message on the wire, for tools
 */

/**
 * A message of the bridge, as far as it is of use here.
 *
 * @typedef {object} Message
 * @property {string} [type]
 * @property {string} [sub]
 * @property {any} [frames]
 * @property {string} [pos]
 * @property {number} [rows]
 * @property {string} [resumed]
 * @property {string} [digest]
 * @property {string} [reason]
 * @property {Record<string, string>} [subs]
 * @property {number} [reconnect_after_ms]
 * @property {string} [code]
 * @property {number} [status]
 * @property {string} [message]
 * @property {string} [field]
 * @property {boolean} [retryable]
 * @property {number} [retry_after_ms]
 */

export {};
