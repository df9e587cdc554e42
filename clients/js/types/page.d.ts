/**
 * Watches the page. Returns what ends that.
 *
 * @param {{ rest: () => void, wake: (elsewhere: boolean) => void }} on `rest`: the page has been hidden
 *   for five minutes, or is frozen; `wake`: it is back, or (`elsewhere`) the network is
 * @returns {() => void}
 */
export function watchPage({ rest, wake }: {
    rest: () => void;
    wake: (elsewhere: boolean) => void;
}): () => void;
