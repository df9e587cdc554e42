/**
 * @param {number} status
 * @param {any} [told] members of a problem document or of an `error` message
 * @param {number} [retryAfter] milliseconds
 */
export function failure(status: number, told?: any, retryAfter?: number): LiveError;
/**
 * @param {number} code of a close frame
 * @param {string} reason
 */
export function closeFailure(code: number, reason: string): LiveError;
/**
 * Why a subscription ended, where no `error` came before.
 *
 * @param {string | undefined} reason of `ended`
 */
export function endedFailure(reason: string | undefined): LiveError;
/** Why something failed. */
export class LiveError extends Error {
    /** @param {import("./types.js").Failure & { retryAfter?: number }} failure `retryAfter` in ms */
    constructor({ code, status, message, field, retryable, retryAfter }: import("./types.js").Failure & {
        retryAfter?: number;
    });
    /** The gRPC name of the failure. */
    code: string;
    /** The HTTP status of the failure; 0 where no answer came. */
    status: number;
    /** Whether the same may succeed later. */
    retryable: boolean;
    /** @type {string | undefined} The part of the query that is at fault. */
    field: string | undefined;
}
export function retryAfterOf(error: LiveError): any;
export function lost(message: string): LiveError;
export function closed(): LiveError;
