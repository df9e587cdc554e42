// Credentials: the token, asked for when there is none, and once more after a refusal.

import { lost } from "./error.js";

/** @typedef {{ text: string }} Token one that was asked for; "" where the page has none to give */

export class Credentials {
  #ask;
  /** @type {Promise<Token> | null} */
  #token = null;
  /** @type {Token | null} */
  #current = null;
  #refused = false;

  /** @param {(() => string | Promise<string>) | undefined} ask */
  constructor(ask) {
    this.#ask = ask;
  }

  /** @returns {Promise<Token>} rejects, retryably, where the page could not get one */
  get() {
    this.#token ??= this.#fetch();
    return this.#token;
  }

  /** Asks anew at the next `get`: the token has expired, or is about to. */
  forget() {
    this.#token = null;
  }

  /** The bridge took it. */
  accepted() {
    this.#refused = false;
  }

  /**
   * The bridge refused it. Returns whether another try is worth it: once in a row.
   *
   * @param {Token | null} token the one it refused
   */
  refused(token) {
    if (!this.#ask) return false;
    if (token !== this.#current) return true; // another stream has asked anew meanwhile
    if (this.#refused) return false;
    this.#refused = true;
    this.forget();
    return true;
  }

  async #fetch() {
    try {
      this.#current = { text: this.#ask ? String((await this.#ask()) ?? "") : "" };
      return this.#current;
    } catch (thrown) {
      this.#token = null;
      throw lost(`no token: ${thrown instanceof Error ? thrown.message : thrown}`);
    }
  }
}
