// The SharedWorker that leads the tabs of an origin. Its name says for which bridge.

import { lead } from "./share-leader.js";

const { base, transport, name, token } = JSON.parse(self.name);
const parts = {
  base,
  token,
  fetch: (/** @type {Parameters<typeof fetch>} */ ...of) => fetch(...of),
  WebSocket: globalThis.WebSocket,
  EventSource: undefined,
};
navigator.locks.request(name, () => lead(parts, transport, name));
