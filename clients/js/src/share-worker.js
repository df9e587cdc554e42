// The SharedWorker that leads the tabs of an origin. Its name says for which bridge.

import * as http from "./http.js";
import { lead } from "./share-leader.js";

const { base, transport, name, token } = JSON.parse(self.name);
const parts = {
  base,
  token,
  fetch: (/** @type {Parameters<typeof fetch>} */ ...of) => fetch(...of),
  WebSocket: globalThis.WebSocket,
  EventSource: undefined,
  load: { http: async () => http },
};
navigator.locks.request(name, () => lead(parts, transport, name));
