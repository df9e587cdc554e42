// The inspector: two live windows over the bridge itself, drawn as tables.

const $ = (id) => document.getElementById(id);
const now = () => Date.now() / 1000;

const REDUCERS = {
  reset: (rows) => rows.splice(0),
  leave: (rows, frame, at) => at >= 0 && rows.splice(at, 1),
  update: (rows, frame, at) => at >= 0 && (rows[at] = frame),
  move: (rows, frame, at) => {
    rows.splice(at, 1);
    rows.splice(frame.new_index, 0, frame);
  },
  enter: (rows, frame) => rows.splice(frame.new_index, 0, frame),
};

/** Follows one live window; calls `draw` with its rows, once for what comes together. */
function follow(path, draw, onState) {
  const rows = [];
  let due = false;
  const source = new EventSource(path);
  for (const [op, reduce] of Object.entries(REDUCERS)) {
    source.addEventListener(op, (event) => {
      const frame = JSON.parse(event.data);
      reduce(rows, frame, rows.findIndex((row) => row.agg_id === frame.agg_id));
      if (due) return;
      due = true;
      requestAnimationFrame(() => {
        due = false;
        draw(rows);
      });
    });
  }
  source.onopen = () => onState?.("live");
  source.onerror = () => onState?.("the bridge is out of reach; trying again");
}

function age(since) {
  const seconds = Math.max(0, now() - since);
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

const bytes = (size) => (size < 1024 ? `${size} B` : `${(size / 1024).toFixed(1)} KiB`);
const counts = (causes) =>
  Object.entries(causes)
    .map(([cause, count]) => `${cause} ${count}`)
    .join(", ") || "–";

/** Makes an element; strings are text, never HTML. */
function make(tag, props = {}, ...children) {
  const element = Object.assign(document.createElement(tag), props);
  element.append(...children);
  return element;
}

const SIGNS = { eq: "=", ne: "≠", gt: ">", gte: "≥", lt: "<", lte: "≤", notin: "not in", isnull: "is null", isnotnull: "is not null" };

function conditionText({ or, column, op, value }) {
  if (or) return `(${or.map(conditionText).join(" or ")})`;
  return [column, SIGNS[op] ?? op, value === undefined ? "" : JSON.stringify(value)].join(" ").trim();
}

/** A query in one line, to be read. */
function queryText({ entity, where = [], sort = [], limit, cursor, mode }) {
  const keys = sort.map(({ column, desc }) => column + (desc ? " desc" : ""));
  return [
    entity,
    where.length && `where ${where.map(conditionText).join(" and ")}`,
    keys.length && `order by ${keys.join(", ")}`,
    cursor?.values && `after ${JSON.stringify(cursor.values)}`,
    mode ? "streamed" : `limit ${limit}`,
  ]
    .filter(Boolean)
    .join(" ");
}

/** Draws rows keyed by id: an element is made anew only when its row changed. What is `told` flashes when it has changed. */
function drawKeyed(body, rows, cells) {
  const known = new Map([...body.children].map((element) => [element.dataset.key, element]));
  let before = null;
  for (const row of rows) {
    let element = known.get(row.agg_id);
    known.delete(row.agg_id);
    if (!element || element.version !== row.version) {
      const fresh = make("tr", {}, ...cells(row.row));
      fresh.dataset.key = row.agg_id;
      fresh.version = row.version;
      if (element) {
        [...fresh.cells].forEach((cell, at) => {
          const same = cell.textContent === element.cells[at]?.textContent;
          cell.classList.toggle("changed", !same && cell.classList.contains("told"));
        });
        const focused = element.contains(document.activeElement);
        element.replaceWith(fresh);
        if (focused) fresh.querySelector("button")?.focus();
      }
      element = fresh;
    }
    const next = before ? before.nextSibling : body.firstChild;
    if (element !== next) body.insertBefore(element, next);
    before = element;
  }
  for (const element of known.values()) element.remove();
}

const cell = (text, className = "") => make("td", { className }, String(text));

function ageCell(since) {
  const element = cell(age(since), "n age");
  element.dataset.since = since;
  return element;
}

function stateOf(row) {
  if (row.stale) return ["stale: " + row.stale, "warn"];
  if (!row.live) return ["opening", "warn"];
  if (!row.holders) return ["lingers", ""];
  return ["live", "good"];
}

function subscriptionCells(row) {
  const open = make("button", { type: "button", onclick: () => openDetail(row.id) }, queryText(row.query));
  const scope = Object.entries(row.scope).map(([name, mask]) => `${name} ${mask}`);
  const [state, tone] = stateOf(row);
  return [
    make("td", {}, open),
    make("td", {}, make("code", {}, scope.join(", ") || "–")),
    cell(row.viewers, "n told"),
    cell(row.rows, "n"),
    cell(state, `${tone} told`),
    cell(row.lag_ms === null ? "–" : `${row.lag_ms} ms`, "n"),
    cell(row.groups, "n"),
    cell(counts(row.resets), "told"),
    cell(counts(row.repairs), Object.keys(row.repairs).length ? "warn told" : "told"),
    cell(counts(row.resubscribes), Object.keys(row.resubscribes).length ? "warn told" : "told"),
    ageCell(row.since),
  ];
}

function drawSubscriptions(rows) {
  const bridge = rows.find((row) => row.agg_id === "bridge")?.row;
  const subscriptions = rows.filter((row) => row.agg_id !== "bridge");
  drawKeyed($("subscriptions"), subscriptions, subscriptionCells);
  const open = subscriptions.find(({ row }) => row.id === shown.id)?.row;
  if (open && open.groups !== shown.groups) {
    shown.groups = open.groups;
    showDetail();
  }
  $("subscription-count").textContent = bridge?.total ?? subscriptions.length;
  $("no-subscriptions").hidden = subscriptions.length > 0;
  if (bridge?.draining) $("state").textContent = "draining";
  $("replicas").replaceChildren(
    ...(bridge?.replicas ?? []).map((replica) =>
      make(
        "li",
        {},
        make("code", {}, replica.address),
        " ",
        make("span", { className: replica.state === "ready" ? "good" : "bad" }, replica.state),
        ` · ${replica.streams} streams`,
        replica.leaving ? " · leaving" : "",
      ),
    ),
  );
}

function drawViewers(rows) {
  $("no-viewers").hidden = rows.length > 0;
  drawKeyed($("viewers"), rows, (row) => [
    make("td", {}, make("code", {}, row.id)),
    cell(row.entity),
    cell(`${row.backlog_frames} · ${bytes(row.backlog_bytes)}`, "n"),
    cell(bytes(row.unsent), "n"),
    cell(row.conflations, row.conflations ? "n warn told" : "n told"),
    cell(row.frames, "n"),
    ageCell(row.since),
  ]);
}

// ------------------------------------------------------------ one window

/** What is open: the id of a subscription, null for none, and how many groups it had. */
let shown = { id: null, groups: -1 };

async function openDetail(id) {
  shown = { id, groups: -1 };
  await showDetail();
  $("detail").scrollIntoView({ block: "nearest" });
}

async function showDetail() {
  const { id } = shown;
  const row = $("row").value.trim();
  const path = `/admin/subscriptions/${id}${row ? `?row=${encodeURIComponent(row)}` : ""}`;
  const response = await fetch(path);
  if (shown.id !== id) return;
  $("detail").hidden = false;
  if (!response.ok) {
    $("groups").replaceChildren(make("li", {}, "This subscription is over."));
    return;
  }
  const found = await response.json();
  $("detail-title").textContent = `Window ${id}: ${found.entity}`;
  $("query").textContent = JSON.stringify(found.query);
  const items = found.groups.slice(0, 200).map((group) => groupItem(group));
  const nothing = row ? `Nothing moved ${row} in the last 5 minutes.` : "Nothing changed in the last 5 minutes.";
  $("groups").replaceChildren(...(items.length ? items : [make("li", {}, nothing)]));
}

function groupItem(group) {
  const place = (index) => (index < 0 ? "outside" : `place ${index}`);
  const frames = group.frames.map((frame) => {
    const from = frame.old_index < 0 ? "" : ` ${frame.old_index}`;
    const to = frame.new_index < 0 ? "" : ` → ${frame.new_index}`;
    const op = make("b", {}, frame.op);
    op.dataset.op = frame.op;
    return make("span", { className: "frame" }, op, ` ${frame.agg_id}${from}${to}`);
  });
  const moved = group.row
    ? `${place(group.row.before)} → ${place(group.row.after)}, by ${group.row.by}. `
    : "";
  const when = group.received_at === null ? "" : `${age(group.received_at)} ago`;
  return make(
    "li",
    {},
    make("time", {}, when),
    ` · ${group.cause}${group.stream_id ? ` · ${group.stream_id}` : ""} · ${moved}`,
    make("code", {}, ...frames),
  );
}

$("why").addEventListener("submit", (event) => {
  event.preventDefault();
  if (shown.id !== null) showDetail();
});
$("close-detail").addEventListener("click", () => {
  shown = { id: null, groups: -1 };
  $("detail").hidden = true;
});

// ------------------------------------------------------------ commands

async function command(path, body) {
  const response = await fetch(path, { method: "POST", body: JSON.stringify(body) });
  if (response.status === 404) return "This bridge takes no commands: it has no --admin-token.";
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) return answer.detail ?? `refused with ${response.status}`;
  return "ended" in answer ? `${answer.ended} streams ended.` : "The bridge drains.";
}

$("revoke").addEventListener("submit", async (event) => {
  event.preventDefault();
  $("answer").textContent = await command("/admin/revoke", { [$("member").value]: $("value").value });
});
$("drain").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (confirm("All clients are told to go, and the process ends. Drain?")) {
    $("answer").textContent = await command("/admin/drain", {});
  }
});

setInterval(() => {
  for (const element of document.querySelectorAll(".age")) element.textContent = age(element.dataset.since);
}, 1000);
follow("/admin/live/subscriptions", drawSubscriptions, (state) => {
  $("state").textContent = state;
  $("state").className = state === "live" ? "good" : "warn";
});
follow("/admin/live/viewers", drawViewers);
