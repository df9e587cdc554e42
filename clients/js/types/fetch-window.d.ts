/**
 * @param {Pick<import("./connection.js").Env, "base" | "fetch" | "credentials">} env
 * @param {{ query: any, signal?: AbortSignal }} what
 */
export function fetchWindow(env: Pick<import("./connection.js").Env, "base" | "fetch" | "credentials">, what: {
    query: any;
    signal?: AbortSignal;
}): Promise<{
    rows: readonly import("./reducer.js").Row[];
    pos: string;
    digest: any;
}>;
