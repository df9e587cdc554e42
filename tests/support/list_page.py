"""A page that scrolls through an infinite list, and notes what a person would notice.

`scroll(forth, loads)` scrolls as a person does, until so many pages were loaded or the end is there.
`faults` has what must not be: a row twice, more than three pages, a list on the page that differs.
`costs` are the milliseconds of the main thread that each message with frames took the library;
`waits` how long each page was waited for.
"""

SCRIPT = """
async ({ page }) => {
  const { LiveClient } = await import("/client/livequery.js");
  const faults = (window.faults = []);
  addEventListener("unhandledrejection", ({ reason }) => faults.push(`rejection: ${reason}`));
  const costs = (window.costs = []);
  const waits = (window.waits = []);
  class Timed extends WebSocket {
    set onmessage(handle) {
      super.onmessage = (event) => {
        const began = performance.now();
        handle(event);
        const took = performance.now() - began;
        if (event.data.includes('"frames"')) costs.push(took);
      };
    }
  }
  document.head.innerHTML = "<style>li { height: 40px } #scroll { height: 600px; overflow: auto; overflow-anchor: none }</style>";
  document.body.innerHTML = '<div id="scroll"><ul></ul></div>';
  const [box, items] = [document.querySelector("#scroll"), document.querySelector("ul")];
  const client = new LiveClient("/api/v1/live", { transport: "ws", WebSocket: Timed });
  const list = (window.list = client.list({ entity: "orders", sort: ["-total"] }, { page }));
  const nodes = new Map();
  let due = false;
  const draw = () => {
    due = false;
    const staying = new Set(list.rows.map(({ agg_id }) => agg_id));
    for (const [id, node] of nodes) if (!staying.has(id)) nodes.delete(id), node.remove();
    list.rows.forEach(({ agg_id, row }, at) => {
      const node = nodes.get(agg_id) ?? document.createElement("li");
      nodes.set(agg_id, node);
      if (node.textContent !== row.id) node.textContent = row.id;
      if (items.children[at] !== node) items.insertBefore(node, items.children[at] ?? null);
    });
    if (items.children.length !== list.rows.length) faults.push("the page differs from the list");
  };
  list.subscribe(() => {
    const ids = new Set(list.rows.map(({ agg_id }) => agg_id));
    if (ids.size !== list.rows.length) faults.push("a row twice");
    if (ids.size > 3 * page || list.window.pages > 3) faults.push(`${ids.size} rows held`);
    if (!due) requestAnimationFrame(draw);
    due = true;
  });

  let loading = false;
  let loaded = 0;
  async function look() {
    const toEnd = box.scrollHeight - box.scrollTop - box.clientHeight;
    const more = toEnd <= 200 && list.hasMore;
    if (loading || !(more || (box.scrollTop <= 200 && list.hasBefore))) return;
    loading = true;
    const mark = more ? items.lastChild : items.firstChild;
    const before = mark.offsetTop;
    const began = performance.now();
    await (more ? list.loadMore() : list.loadBack());
    waits.push(performance.now() - began);
    if (due) draw();
    if (mark.isConnected) box.scrollTop += mark.offsetTop - before;
    loaded++;
    loading = false;
  }
  box.addEventListener("scroll", look);
  window.scroll = async (forth, loads) => {
    const until = loaded + loads;
    const end = performance.now() + 60_000;
    while (loading || (loaded < until && (forth ? list.hasMore : list.hasBefore))) {
      if (performance.now() > end) return faults.push("no page came by scrolling");
      if (!loading) box.scrollBy(0, forth ? 900 : -900);
      await new Promise(requestAnimationFrame);
      look();
    }
    draw();
    return window.told();
  };
  window.told = () => ({
    rows: list.rows.map(({ row }) => [row.id, row.total, row.note]),
    shown: [...items.children].map((node) => node.textContent),
    window: list.window,
    more: list.hasMore,
    before: list.hasBefore,
    status: list.status,
  });
  await list.ready;
}
"""


async def open_list(page, url, *, rows_of_page):
    """Open the page; the list's first page is there."""
    await page.goto(url + "/healthz")
    await page.evaluate(SCRIPT, {"page": rows_of_page})


async def scroll(page, *, forth, loads):
    """Scroll on until so many pages were loaded; returns what is held and shown."""
    return await page.evaluate("([forth, loads]) => scroll(forth, loads)", [forth, loads])


async def told(page):
    """Return what is held and shown, once drawing is done."""
    await page.evaluate("new Promise(requestAnimationFrame)")
    return await page.evaluate("told()")
