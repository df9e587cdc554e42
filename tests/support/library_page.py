"""A page that shows live queries by the browser library, and notes what a person would notice."""

import json

# Rows are list items, keyed. `faults` has what no person should see: a row that stays, gone or made
# anew; a row twice. `first` says when rows were first on the page, in ms since the client was made.
SCRIPT = """
async ({ options, queries, list }) => {
  const { LiveClient } = await import("/client/livequery.js");
  const faults = (window.faults = []);
  addEventListener("unhandledrejection", ({ reason }) => faults.push(`rejection: ${reason}`));
  addEventListener("error", ({ message }) => faults.push(`error: ${message}`));
  const began = performance.now();
  const client = (window.client = new LiveClient("/api/v1/live", options));
  window.views = queries.map((query, at) => {
    const view = client.live(query);
    const ul = document.createElement("ul");
    document.body.append(ul);
    const nodes = new Map();
    const draw = () => {
      const ids = view.rows.map(({ agg_id }) => agg_id);
      if (new Set(ids).size !== ids.length) faults.push(`a row twice in ${at}`);
      const staying = new Set(ids);
      for (const [id, li] of nodes) if (!staying.has(id)) { li.remove(); nodes.delete(id); }
      view.rows.forEach((row, n) => {
        const li = nodes.get(row.agg_id) ?? document.createElement("li");
        nodes.set(row.agg_id, li);
        li.dataset.id = row.agg_id;
        const text = JSON.stringify(row.row);
        if (li.textContent !== text) li.textContent = text;
        if (ul.children[n] !== li) ul.insertBefore(li, ul.children[n] ?? null);
      });
      if (ids.length) window.first ??= { ms: performance.now() - began, status: view.status };
    };
    new MutationObserver((records) => {
      const rows = new Set(view.rows.map(({ agg_id }) => agg_id));
      const shown = new Set([...ul.children].map((li) => li.dataset.id));
      for (const { removedNodes } of records)
        for (const { dataset } of removedNodes)
          if (rows.has(dataset.id) && !shown.has(dataset.id)) faults.push(`${dataset.id} went and stays in ${at}`);
    }).observe(ul, { childList: true });
    let length = 0;
    view.subscribe(() => {
      if (length && !view.rows.length) faults.push(`blank: ${at}`);
      length = view.rows.length;
      draw();
    });
    draw();
    return view;
  });
  return true;
}
"""

SHOWN = """() => [...document.querySelectorAll("ul")].map(
  (ul) => [...ul.children].map((li) => JSON.parse(li.textContent)))"""


async def show(page, url, queries, *, path="/healthz", **options):
    """Open the page and begin. `path`: some document of the origin."""
    await page.goto(url + path)
    await page.evaluate(SCRIPT, {"options": options, "queries": queries})


async def shown(page):
    """Return the rows on the page, per query."""
    return await page.evaluate(SHOWN)


async def statuses(page):
    return await page.evaluate("views.map(({ status }) => status)")


async def faults(page):
    return await page.evaluate("faults")


def same(one, other):
    return json.dumps(one) == json.dumps(other)
