/**
 * A row of a window. Frozen, and the same object as long as it did not change.
 */
export type Row<T extends object = any> = {
    /**
     * the row's identity
     */
    agg_id: string;
    /**
     * 0 where the tier sends none
     */
    version: number;
    /**
     * the row's columns
     */
    row: T;
    /**
     * the row's place in the order, as `reanchor` takes it
     */
    cursor: Cursor;
};
export type Cursor = {
    values: any[] | null;
};
export type Sign = "=" | "!=" | ">" | ">=" | "<" | "<=" | "in" | "not-in" | "like" | "ilike" | "null" | "not-null";
export type Op = "eq" | "ne" | "gt" | "gte" | "lt" | "lte" | "in" | "notin" | "like" | "ilike" | "isnull" | "isnotnull";
/**
 * a condition as it is on the wire, or an `or` of any
 */
export type Condition = {
    column: string;
    op: Op;
    value?: any;
} | {
    or: readonly Condition[];
};
export type Where = readonly [column: string, sign: Sign | Op, value?: any] | Condition | {
    or: readonly Where[];
};
/**
 * A live query: a LiveQuery of the wire, or its shorthand, or a mixture of both.
 */
export type Query = {
    entity: string;
    /**
     * all must hold; `{ or: [...] }` nests
     */
    where?: readonly Where[] | undefined;
    /**
     * `"-total"` is descending
     */
    sort?: readonly (string | {
        column: string;
        desc?: boolean;
    })[] | undefined;
    /**
     * rows of the window
     */
    limit?: number | undefined;
    /**
     * the window begins after this place; null is the head
     */
    cursor?: Cursor | null | undefined;
    /**
     * 1 is streamed: no order, no bound
     */
    mode?: 0 | 1 | undefined;
};
export type Status = "connecting" | "live" | "stale" | "reconnecting" | "ended" | "failed";
export type Transport = "auto" | "ws" | "sse" | "poll";
export type Failure = {
    /**
     * the gRPC name of the failure
     */
    code: string;
    /**
     * its HTTP status; 0 where no answer came
     */
    status: number;
    message: string;
    /**
     * the part of the query that is at fault
     */
    field?: string | undefined;
    /**
     * whether the same may succeed later
     */
    retryable: boolean;
};
export type Snapshot<T extends object = any> = {
    rows: readonly Row<T>[];
    status: Status;
    error: Failure | null;
};
/**
 * A window as `client.fetch` returns it, also after JSON.
 */
export type Initial<T extends object = any> = {
    rows: readonly Row<T>[];
    /**
     * where a live window goes on from
     */
    pos: string;
    digest?: string | undefined;
};
/**
 * Where windows are kept. The methods may return promises.
 */
export type Store = {
    get: (key: string) => any;
    set: (key: string, value: Initial) => any;
    delete: (key: string) => any;
};
export type Options = {
    /**
     * asked at the start, before expiry, and once after a refusal
     */
    token?: (() => string | Promise<string>) | undefined;
    /**
     * default "auto"
     */
    transport?: Transport | undefined;
    /**
     * one connection for all tabs of an origin (browsers only)
     */
    share?: boolean | undefined;
    /**
     * keeps the last windows for the next visit
     */
    persist?: Store | "indexedDB" | undefined;
    /**
     * in place of the global one
     */
    fetch?: typeof fetch | undefined;
    /**
     * in place of the global one
     */
    WebSocket?: any;
    /**
     * in place of the global one
     */
    EventSource?: any;
    /**
     * sees every message on the wire, for tools
     */
    onMessage?: ((message: any, direction: "in" | "out") => void) | undefined;
};
/**
 * A message of the bridge, as far as it is of use here.
 */
export type Message = {
    type?: string | undefined;
    sub?: string | undefined;
    frames?: any;
    pos?: string | undefined;
    rows?: number | undefined;
    resumed?: string | undefined;
    digest?: string | undefined;
    reason?: string | undefined;
    subs?: Record<string, string> | undefined;
    reconnect_after_ms?: number | undefined;
    code?: string | undefined;
    status?: number | undefined;
    message?: string | undefined;
    field?: string | undefined;
    retryable?: boolean | undefined;
    retry_after_ms?: number | undefined;
};
