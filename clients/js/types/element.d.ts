/**
 * `src`: the bridge's base path. `query`: JSON. `columns`: their names, by comma or white space;
 * without it those of the first row. Attributes: `status`, and `error` where there is one. After
 * each change it dispatches `change`.
 */
export class LiveTable extends HTMLElement {
    static observedAttributes: string[];
    /** The rows shown. */
    get rows(): readonly import("./types.js").Row<any>[];
    connectedCallback(): void;
    disconnectedCallback(): void;
    /** @param {string} _ @param {string | null} before @param {string | null} now */
    attributeChangedCallback(_: string, before: string | null, now: string | null): void;
    #private;
}
