// LiveList: an ordered live list of any length, of which at most three pages are held.
//
// The list is one window that moves over the order: loadMore() and loadBack() reanchor it, so that
// the tier holds one query, and rows in both windows stay. An anchor is a place in the order, not a
// row: it stays where it is when rows move, come and go.

import { closed, failure } from "./error.js";
import { Feed } from "./feed.js";
import { LiveView, publish } from "./view.js";

/** @typedef {import("./types.js").Cursor} Cursor */

const PAGES = 3;

/**
 * @template {object} [T=any]
 * @extends {LiveView<T>}
 */
export class LiveList extends LiveView {
  #feed;
  #carrier;
  #page;
  /** Anchors of the windows before this one, from the head on. @type {(Cursor | null)[]} */
  #anchors = [];
  #first = 0;
  #moving = false;
  /** @type {Promise<any>} */
  #queue;

  /**
   * Made by `client.list`.
   *
   * @param {any} query a LiveQuery
   * @param {number} page rows of a page
   * @param {import("./live-window.js").Carrier} carrier
   */
  constructor(query, page, carrier) {
    const feed = new Feed({ ...query, cursor: null, limit: page }, (change) => this.#show(change));
    super(() => {
      carrier.close(feed);
      feed.end(null, closed());
    });
    this.#feed = feed;
    this.#carrier = carrier;
    this.#page = page;
    this.#queue = this.ready;
    carrier.open(feed);
  }

  /** Whether there may be rows behind those held. */
  get hasMore() {
    return this.rows.length > 0 && this.rows.length >= this.#feed.query.limit;
  }

  /** Whether there may be rows before those held. */
  get hasBefore() {
    return Boolean(this.#feed.query.cursor);
  }

  /** What is held, by position from the list's start: counted from 0, both inclusive. */
  get window() {
    const { length } = this.rows;
    return { first: this.#first, last: this.#first + length - 1, pages: Math.ceil(length / this.#page) };
  }

  /**
   * Adds a page at the end. With three pages held, the first is forgotten.
   *
   * @returns {Promise<number>} rows added there
   */
  loadMore() {
    return this.#enqueue(async () => {
      const { rows, query } = this.#feed;
      if (rows.length < query.limit) return 0;
      if (query.limit < PAGES * this.#page) {
        await this.#move(query.cursor, query.limit + this.#page);
      } else {
        await this.#move(placeOf(rows[this.#page - 1]), query.limit);
        this.#anchors.push(query.cursor);
        this.#first += this.#page;
      }
      const held = idsOf(rows);
      return this.#feed.rows.length - 1 - this.#feed.rows.findLastIndex(({ agg_id }) => held.has(agg_id));
    });
  }

  /**
   * Adds a page at the start. Rows over three pages are forgotten at the end.
   *
   * @returns {Promise<number>} rows added there
   */
  loadBack() {
    return this.#enqueue(async () => {
      const { rows, query } = this.#feed;
      if (!query.cursor) return 0;
      const held = idsOf(rows);
      const anchors = [...this.#anchors];
      let anchor = anchors.pop() ?? null;
      for (;;) {
        await this.#move(anchor, PAGES * this.#page);
        const now = this.#feed.rows;
        const added = now.findIndex(({ agg_id }) => held.has(agg_id));
        const far = added < 0 || added > (PAGES - 1) * this.#page;
        if (far && rows.length && now.length >= this.#feed.query.limit) {
          // So many rows came in between that those on screen are out of reach: go nearer to them.
          anchors.push(anchor);
          anchor = placeOf(now[this.#page - 1]);
        } else if (added === 0 && anchor) {
          anchor = anchors.pop() ?? null;
        } else {
          const count = added < 0 ? now.length : added;
          this.#anchors = anchors;
          this.#first = anchor ? Math.max(0, this.#first - count) : 0;
          return count;
        }
      }
    });
  }

  /** @param {import("./view.js").Change} change */
  #show(change) {
    if (!this.#moving || change.status === "ended" || change.status === "failed") publish(this, change);
    else publish(this, { ...change, rows: this.rows });
  }

  /**
   * Moves take their turn. What they bring is shown when they are through, with its position.
   *
   * @param {() => Promise<number>} work
   * @returns {Promise<number>}
   */
  #enqueue(work) {
    const done = this.#queue.then(async () => {
      if (this.status === "ended" || this.status === "failed") throw this.error ?? closed();
      this.#moving = true;
      try {
        return await work();
      } finally {
        this.#moving = false;
        publish(this, { rows: this.#feed.rows });
      }
    });
    this.#queue = done.catch(() => {});
    return done;
  }

  /** @param {Cursor | null | undefined} cursor @param {number} limit */
  async #move(cursor, limit) {
    const moved = this.#feed.move({ ...this.#feed.query, cursor: cursor ?? null, limit });
    this.#carrier.move(this.#feed);
    await moved;
  }
}

/** @param {readonly import("./types.js").Row[]} rows */
const idsOf = (rows) => new Set(rows.map(({ agg_id }) => agg_id));

/** @param {import("./types.js").Row} row @returns {Cursor} */
function placeOf({ cursor }) {
  if (cursor?.values?.length) return cursor;
  throw failure(501, { message: "the tier sends no cursors: its lists can't be paged" });
}
