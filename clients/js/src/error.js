// Failures: one class, made from a close code, a problem document, or a message of the bridge.

/** The gRPC names of statuses, where an answer does not say. @type {Record<number, string>} */
const CODES = {
  400: "INVALID_ARGUMENT",
  401: "UNAUTHENTICATED",
  403: "PERMISSION_DENIED",
  404: "NOT_FOUND",
  408: "DEADLINE_EXCEEDED",
  409: "FAILED_PRECONDITION",
  413: "RESOURCE_EXHAUSTED",
  429: "RESOURCE_EXHAUSTED",
  499: "CANCELLED",
  501: "UNIMPLEMENTED",
  502: "INTERNAL",
  504: "DEADLINE_EXCEEDED",
};

/** Close codes whose status does not follow from their number. @type {Record<number, number>} */
const STATUS_OF_CLOSE = { 1009: 413, 1011: 502, 4001: 401, 4003: 429, 4005: 408, 4512: 501 };

/** Close codes below 4000 that more of the same would bring again. */
const FINAL = new Set([1002, 1003, 1007, 1009, 1010]);

/** Why something failed. */
export class LiveError extends Error {
  /** @param {import("./types.js").Failure & { retryAfter?: number }} failure `retryAfter` in ms */
  constructor({ code, status, message, field, retryable, retryAfter = 0 }) {
    super();
    this.name = "LiveError";
    /** The gRPC name of the failure. */
    this.code = code;
    /** The HTTP status of the failure; 0 where no answer came. */
    this.status = status;
    this.message = message;
    /** Whether the same may succeed later. */
    this.retryable = retryable;
    if (field !== undefined) {
      /** @type {string | undefined} The part of the query that is at fault. */
      this.field = field;
    }
    Object.defineProperty(this, "name", { enumerable: false });
    Object.defineProperty(this, "retryAfter", { value: retryAfter });
  }
}

/** @param {LiveError} error */
export const retryAfterOf = (error) => /** @type {any} */ (error).retryAfter;

/** @param {number} status */
const mayPass = (status) =>
  status === 0 || status === 408 || status === 429 || (status >= 500 && status !== 501);

/**
 * @param {number} status
 * @param {any} [told] members of a problem document or of an `error` message
 * @param {number} [retryAfter] milliseconds
 */
export function failure(status, told, retryAfter) {
  const { code, message, detail, title, field, retryable, retry_after_ms } = told ?? {};
  return new LiveError({
    code: String(code ?? CODES[status] ?? (mayPass(status) ? "UNAVAILABLE" : "UNKNOWN")),
    status,
    message: String(message ?? detail ?? title ?? `HTTP ${status}`),
    retryable: typeof retryable === "boolean" ? retryable : mayPass(status),
    ...(field !== undefined && { field: String(field) }),
    retryAfter: retryAfter ?? (retry_after_ms > 0 ? +retry_after_ms : 0),
  });
}

/** @param {string} message */
export const lost = (message) => failure(0, { message });

/** What a window that is closed says to those who still wait for it. */
export const closed = () => failure(499, { message: "closed", retryable: false });

/**
 * @param {number} code of a close frame
 * @param {string} reason
 */
export function closeFailure(code, reason) {
  const final = FINAL.has(code) || (code >= 4500 && code < 5000);
  const status = STATUS_OF_CLOSE[code] ?? (code >= 4500 ? code - 4100 : 503);
  return failure(status, { message: reason || `closed with ${code}`, retryable: !final });
}

/**
 * Why a subscription ended, where no `error` came before.
 *
 * @param {string | undefined} reason of `ended`
 */
export function endedFailure(reason) {
  const status = { unavailable: 503, denied: 401 }[reason ?? ""] ?? 502;
  return failure(status, { message: `ended: ${reason}`, retryable: status === 503 });
}
