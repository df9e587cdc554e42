// A page by jsdom, and a client that reaches the real bridge from it.

import { JSDOM } from "jsdom";

const { window } = new JSDOM("<!doctype html><body></body>", { url: "http://localhost/", pretendToBeVisual: true });
const NAMES = ["window", "document", "HTMLElement", "Element", "Node", "Text", "Comment", "DocumentFragment", "customElements", "MutationObserver", "CustomEvent", "HTMLIFrameElement", "HTMLMediaElement", "SVGElement", "ShadowRoot", "getComputedStyle", "requestAnimationFrame", "cancelAnimationFrame"];
for (const name of NAMES) globalThis[name] = window[name];
globalThis.Event = window.Event;
Object.defineProperty(globalThis, "navigator", { value: window.navigator, configurable: true });
Object.defineProperty(globalThis, "location", { value: window.location, configurable: true });
globalThis.IS_REACT_ACT_ENVIRONMENT = false;

export const body = window.document.body;
export const texts = (selector) => [...body.querySelectorAll(selector)].map((node) => node.textContent);

export const OPEN = { entity: "orders", where: [["status", "=", "open"]], sort: ["-total"], limit: 5 };
export const OPEN_SQL = "SELECT id FROM orders WHERE status = 'open' ORDER BY total DESC, id LIMIT 5";
export const ALL = { entity: "orders", sort: ["-total"] };

/** Whether the items on the page are what SQL selects. */
export const shows = (house, sql, selector = "li") => async () => {
  const want = (await house.select(sql)).map(({ id }) => id).join();
  return texts(selector).join() === want || texts(selector);
};
