// The page's life: when nobody looks any more, and when somebody does again.

const HIDDEN = 300_000;

/**
 * Watches the page. Returns what ends that.
 *
 * @param {{ rest: () => void, wake: (elsewhere: boolean) => void }} on `rest`: the page has been hidden
 *   for five minutes, or is frozen; `wake`: it is back, or (`elsewhere`) the network is
 * @returns {() => void}
 */
export function watchPage({ rest, wake }) {
  /** @type {any} */
  let hidden;
  const look = () => {
    clearTimeout(hidden);
    if (document.visibilityState === "hidden") hidden = setTimeout(rest, HIDDEN);
    else wake(false);
  };
  /** @type {[EventTarget, string, () => void][]} */
  const handlers = [
    [document, "visibilitychange", look],
    [document, "freeze", rest],
    [document, "resume", () => wake(false)],
    [window, "pagehide", rest],
    [window, "pageshow", () => wake(false)],
    [window, "online", () => wake(true)],
  ];
  for (const [target, name, handle] of handlers) target.addEventListener(name, handle);
  if (document.visibilityState === "hidden") look();
  return () => {
    clearTimeout(hidden);
    for (const [target, name, handle] of handlers) target.removeEventListener(name, handle);
  };
}
