// The page's composition: the choice of airport and transport, one live query for it, and what
// shows it. The choice lives in the URL's hash, so that a board can be linked to (#LGA/ws).

import { liveQuery } from "./livequery.js";
import { FrameLog } from "./log.js";
import { setFlaps } from "./motion.js";
import { Board, clockOf } from "./rows.js";

const AIRPORTS = {
  JFK: "John F. Kennedy International",
  LGA: "LaGuardia",
  EWR: "Newark Liberty International",
};
const TRANSPORTS = { sse: "SSE", ws: "WebSocket" };
const STATES = {
  connecting: "Connecting",
  live: "Live",
  reconnecting: "Reconnecting",
  failed: "Failed",
  ended: "Ended",
};

const $ = (id) => document.getElementById(id);
const base = document.querySelector('meta[name="livequery-base"]').content;
const board = new Board($("board"), $("ghosts"));
const log = new FrameLog({
  list: $("log"),
  counters: $("counters"),
  total: $("total"),
  change: $("change"),
  ago: $("ago"),
});

let live = null;
let choice = {};

const queryFor = (airport) => ({
  entity: "flights",
  where: [{ column: "origin", op: "eq", value: airport }],
  sort: [{ column: "est_dep" }],
  limit: 12,
});

function choiceInHash() {
  const [airport, transport] = location.hash.slice(1).split("/");
  return {
    airport: Object.hasOwn(AIRPORTS, airport) ? airport : "JFK",
    transport: Object.hasOwn(TRANSPORTS, transport) ? transport : "sse",
  };
}

function open({ airport, transport }) {
  live?.close();
  // The same rows over another transport may stay; another airport's must not.
  const stale = airport !== choice.airport;
  choice = { airport, transport };
  showChoice();
  $("board").setAttribute("aria-busy", String(stale));
  live = liveQuery(queryFor(airport), {
    base: new URL(base, location.href).href,
    transport,
    onChange: showRows,
    onState: showState,
  });
}

function showChoice() {
  const { airport, transport } = choice;
  history.replaceState(null, "", `#${airport}/${transport}`);
  for (const [name, value] of Object.entries(choice)) {
    document.querySelector(`input[name="${name}"][value="${value}"]`).checked = true;
  }
  document.title = `${airport} departures, live`;
  $("airport").textContent = AIRPORTS[airport];
  $("clock").hidden = true; // until the new rows tell the time
  showQuery();
}

function showRows(rows, frames) {
  $("board").setAttribute("aria-busy", "false");
  board.render(rows);
  log.add(frames);
  $("notice").textContent = rows.length ? "" : "No departures in this window.";
  const time = clockOf(rows);
  if (time) {
    $("clock").hidden = false;
    setFlaps($("clock").firstChild, time);
    $("clock").setAttribute("aria-label", `Airport time ${time}`);
  }
}

function showState(state, { reason = "", retryIn } = {}) {
  const over = state === "failed" || state === "ended";
  $("state").dataset.state = state;
  $("state").textContent = STATES[state];
  const again = retryIn === undefined ? "" : `, next try in ${Math.ceil(retryIn / 1000)} s`;
  $("detail").textContent = state === "live" ? `over ${TRANSPORTS[choice.transport]}` : reason + again;
  $("retry").hidden = !over;
  $("board").toggleAttribute("data-stale", over);
  // Another airport's rows wait, dimmed, for those that replace them; not for ever.
  if ($("board").getAttribute("aria-busy") === "true" && state !== "connecting" && state !== "live") {
    board.clear();
  }
  if (!$("board").childElementCount) {
    $("notice").textContent = over ? `No board: ${reason}` : "Waiting for the first departures …";
  }
}

function showQuery() {
  const query = JSON.stringify(queryFor(choice.airport));
  const url = new URL(base, location.href).href;
  $("query").textContent = query;
  $("command").textContent =
    `curl -N ${url} \\\n  -H 'Content-Type: application/json' \\\n  -d '${query}'`;
}

async function copy(button) {
  const source = $(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(source.textContent);
    button.textContent = "Copied";
  } catch {
    // Without https there is no clipboard to write to: leave the text selected instead.
    getSelection().selectAllChildren(source);
    button.textContent = "Selected";
  }
  setTimeout(() => (button.textContent = "Copy"), 1500);
}

for (const radio of document.querySelectorAll(".segmented input")) {
  radio.addEventListener("change", () => open({ ...choice, [radio.name]: radio.value }));
}
for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", () => copy(button));
}
$("retry").addEventListener("click", () => open(choice));
addEventListener("hashchange", () => open(choiceInHash()));
open(choiceInHash());
