/** @typedef {{ text: string }} Token one that was asked for; "" where the page has none to give */
export class Credentials {
    /** @param {(() => string | Promise<string>) | undefined} ask */
    constructor(ask: (() => string | Promise<string>) | undefined);
    /** @returns {Promise<Token>} rejects, retryably, where the page could not get one */
    get(): Promise<Token>;
    /** Asks anew at the next `get`: the token has expired, or is about to. */
    forget(): void;
    /** The bridge took it. */
    accepted(): void;
    /**
     * The bridge refused it. Returns whether another try is worth it: once in a row.
     *
     * @param {Token | null} token the one it refused
     */
    refused(token: Token | null): boolean;
    #private;
}
/**
 * one that was asked for; "" where the page has none to give
 */
export type Token = {
    text: string;
};
