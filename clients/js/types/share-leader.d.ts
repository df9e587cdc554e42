/**
 * Leads until the signal, or for ever.
 *
 * @param {any} parts as Connection has them
 * @param {import("./types.js").Transport} transport
 * @param {string} name of channel and lock
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 */
export function lead(parts: any, transport: import("./types.js").Transport, name: string, signal?: AbortSignal): Promise<void>;
export type Row = import("./types.js").Row;
export type State = {
    rows: readonly Row[];
    pos: string;
    status: import("./types.js").Status;
    error: any;
};
/**
 * What tabs are told of one query. Without `order`, only the state has changed.
 */
export type Told = {
    key: string;
    /**
     * the tab that asked; else all
     */
    to?: string | undefined;
    /**
     * one more with every message of a key
     */
    seq: number;
    /**
     * whether all rows are there; else those that changed since the last message
     */
    full: boolean;
    /**
     * agg_ids
     */
    order?: string[] | undefined;
    rows?: Row[] | undefined;
    pos: string;
    status: import("./types.js").Status;
    error: any;
    state: Connection["state"];
};
import { Connection } from "./connection.js";
