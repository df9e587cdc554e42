/**
 * Uses a view, made if it is not there. Returns it, and what ends that use.
 *
 * @template {View} V
 * @param {LiveClient} client
 * @param {string} key
 * @param {() => V} make
 * @returns {{ view: V, release: () => void }}
 */
export function use<V extends View>(client: LiveClient, key: string, make: () => V): {
    view: V;
    release: () => void;
};
export function held(client: LiveClient, key: string): import("./view.js").LiveView<any> | undefined;
export type LiveClient = import("./livequery.js").LiveClient;
export type View = import("./view.js").LiveView<any>;
