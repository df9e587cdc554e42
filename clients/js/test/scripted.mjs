// A bridge that says what the test says, on real sockets.

import { once } from "node:events";
import { createServer } from "node:http";

import { WebSocketServer } from "ws";

import { digestOf } from "../src/digest.js";

export const enter = (agg_id, new_index, version = 1, row = { id: agg_id }) => ({
  op: "enter",
  agg_id,
  version,
  row,
  old_index: -1,
  new_index,
  cursor: { values: [agg_id] },
});
export const snapshot = (...ids) => [{ op: "reset" }, ...ids.map((id, at) => enter(id, at))];
export const digest = (...ids) => digestOf(ids.map((agg_id) => ({ agg_id, version: 1 })));
export const ids = (view) => view.rows.map(({ agg_id }) => agg_id).join(" ");

/** One client's socket, as the bridge sees it. */
class Peer {
  said = [];
  #news = [];

  constructor(socket) {
    this.socket = socket;
    socket.on("message", (data) => {
      const message = JSON.parse(data);
      if (message.action === "ping") return this.send({ type: "pong" });
      this.said.push(message);
      for (const wake of this.#news.splice(0)) wake();
    });
  }

  send(message) {
    this.socket.send(typeof message === "string" ? message : JSON.stringify(message));
  }

  /** The next message of an action that was not taken yet. */
  async next(action) {
    for (;;) {
      const at = this.said.findIndex((message) => message.action === action);
      if (at >= 0) return this.said.splice(at, 1)[0];
      await new Promise((resolve) => this.#news.push(resolve));
    }
  }

  /** Shows a window, the way that the bridge does. */
  show(sub, ...rows) {
    this.send({ type: "frames", sub, pos: `p-${rows.join("")}`, frames: snapshot(...rows) });
    this.send({ type: "ready", sub, rows: rows.length, resumed: "snapshot", digest: digest(...rows) });
  }

  close(code, reason) {
    this.socket.close(code, reason);
  }

  cut() {
    this.socket.terminate();
  }
}

/** @param {(request: any, response: any, body: string) => void} [handle] answers plain requests */
export async function scripted(handle = (_, response) => response.writeHead(404).end()) {
  const requests = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const piece of request) body += piece;
    requests.push({ method: request.method, url: new URL(request.url, "http://x"), body, headers: request.headers });
    handle(request, response, body);
  });
  const sockets = new WebSocketServer({ server, path: "/live/ws", handleProtocols: (all) => [...all][0] });
  const peers = [];
  const waiting = [];
  let count = 0;
  sockets.on("connection", (socket) => {
    count++;
    const peer = new Peer(socket);
    if (waiting.length) waiting.shift()(peer);
    else peers.push(peer);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    base: `http://127.0.0.1:${server.address().port}/live`,
    requests,
    get count() {
      return count;
    },
    /** The next connection. */
    peer: () => (peers.length ? Promise.resolve(peers.shift()) : new Promise((resolve) => waiting.push(resolve))),
    async stop() {
      for (const client of sockets.clients) client.terminate();
      server.closeAllConnections();
      server.close();
    },
  };
}
