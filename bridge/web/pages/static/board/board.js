// The page's composition: the choice of airport and transport, one live query for it, and what
// shows it. The choice lives in the URL's hash, so that a board can be linked to (#LGA/ws).

import { LiveClient } from "/client/livequery.js";
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
  stale: "Stale",
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

let client = null;
let live = null;
let choice = {};
let frames = []; // on the wire since the last look

const queryFor = (airport) => ({
  entity: "flights",
  where: [{ column: "origin", op: "eq", value: airport }],
  sort: [{ column: "est_dep" }],
  limit: 12,
});

function keepFrames(message) {
  if (message.op) frames.push(message); // an event stream has one event a frame
  else if (message.type === "frames") frames.push(...message.frames);
}

function choiceInHash() {
  const [airport, transport] = location.hash.slice(1).split("/");
  return {
    airport: Object.hasOwn(AIRPORTS, airport) ? airport : "JFK",
    transport: Object.hasOwn(TRANSPORTS, transport) ? transport : "sse",
  };
}

function open({ airport, transport }) {
  client?.close();
  // The same rows over another transport may stay; another airport's must not.
  const stale = airport !== choice.airport;
  choice = { airport, transport };
  showChoice();
  $("board").setAttribute("aria-busy", String(stale));
  frames = [];
  client = new LiveClient(base, { transport, onMessage: keepFrames });
  live = client.live(queryFor(airport));
  let shown = live.rows;
  showState(live);
  live.subscribe(() => {
    if (live.rows !== shown || live.status === "live") showRows((shown = live.rows));
    showState(live);
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

function showRows(rows) {
  $("board").setAttribute("aria-busy", "false");
  board.render(rows);
  log.add(frames.splice(0));
  $("notice").textContent = rows.length ? "" : "No departures in this window.";
  const time = clockOf(rows);
  if (time) {
    $("clock").hidden = false;
    setFlaps($("clock").firstChild, time);
    $("clock").setAttribute("aria-label", `Airport time ${time}`);
  }
}

function showState({ status: state, error }) {
  const over = state === "failed" || state === "ended";
  const reason = error?.message ?? (state === "stale" ? "the tier is lost; rows as they were" : "");
  $("state").dataset.state = state;
  $("state").textContent = STATES[state];
  $("detail").textContent = state === "live" ? `over ${TRANSPORTS[choice.transport]}` : reason;
  $("retry").hidden = !over;
  $("board").toggleAttribute("data-stale", over);
  // Another airport's rows wait, dimmed, for those that replace them; not for ever.
  if ($("board").getAttribute("aria-busy") === "true" && over) {
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
