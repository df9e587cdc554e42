"""The recipes of docs/browser.md, as they are printed, in a real browser."""

import asyncio
import contextlib
import json
import mimetypes
import os
import re
import sqlite3
import subprocess
import sys
import time

import jwt
import pytest
import pytest_asyncio
from aiohttp import web

from bridge.app import Bridge
from bridge.config.loader import resolve
from chromium import on_chromium
from client_house import ClientHouse
from library_paths import LIBRARY, ROOT
from livetier.server import TierOptions, start_tier
from ops_support import free_port
from patience import patiently
from vite_app import build_app, copy_app, link_app

DOCUMENT = (ROOT / "docs" / "browser.md").read_text()
RECIPES = dict(re.findall(r"<!-- recipe: ([\w-]+) -->\n```\w+\n(.*?)\n```", DOCUMENT, re.DOTALL))
ITEMS = "(all) => [...document.querySelectorAll(all)].map((item) => item.textContent)"
TOP = "SELECT id FROM orders WHERE status = 'open' ORDER BY total DESC, id LIMIT 5"
IDS = "SELECT id FROM orders WHERE {} ORDER BY total DESC, id LIMIT {}"
KEY = "a key of thirty-two bytes, or more"

pytestmark = on_chromium(240)

# What a page of its own needs to show a recipe: its file, what is in the page, the script that starts it.
MAIN = "<main></main>"
PAGES = {
    "react": (
        "React.jsx",
        MAIN,
        (
            'import { createElement } from "react"; import { createRoot } from "react-dom/client";'
            'import Orders from "./React.jsx";'
            'createRoot(document.querySelector("main")).render(createElement(Orders));'
        ),
    ),
    "vue": (
        "Vue.vue",
        MAIN,
        'import { createApp } from "vue"; import App from "./Vue.vue"; createApp(App).mount("main");',
    ),
    "svelte": (
        "Svelte.svelte",
        MAIN,
        (
            'import { mount } from "svelte"; import App from "./Svelte.svelte";'
            'mount(App, { target: document.querySelector("main") });'
        ),
    ),
    "solid": (
        "Solid.jsx",
        MAIN,
        (
            'import { createComponent } from "solid-js"; import { render } from "solid-js/web";'
            'import Orders from "./Solid.jsx";'
            'render(() => createComponent(Orders, {}), document.querySelector("main"));'
        ),
    ),
    "list": ("list.js", None, 'import "./list.js";'),
    "tanstack-db": ("tanstack-db.js", "<ul></ul>", 'import "./tanstack-db.js";'),
    "fetch-event-source": (
        "fetch-event-source.js",
        "<ul></ul>",
        'import "./fetch-event-source.js";',
    ),
}
VITE = """
import react from "@vitejs/plugin-react";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import vue from "@vitejs/plugin-vue";
import solid from "vite-plugin-solid";

export default {
  plugins: [solid({ include: /Solid\\.jsx$/ }), react({ include: /React\\.jsx$/ }), svelte(), vue()],
  esbuild: { include: [/\\.ts$/, /React\\.jsx$/] },
  build: { rollupOptions: { input: %s } },
};
"""
SCROLL = (
    '<div id="scroll" style="height: 200px; overflow: auto; overflow-anchor: none"><ul></ul></div>'
    "<style>li { height: 40px }</style>"
)


@pytest_asyncio.fixture(loop_scope="module")
async def page(context):
    page = await context.new_page()
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    assert not complaints


@pytest_asyncio.fixture(loop_scope="module")
async def house():
    house = await ClientHouse(rows=200).start()
    yield house
    await house.stop()


async def items(page, want, selector="li"):
    """Wait until the texts of the items satisfy `want`, a list or a function."""
    async with asyncio.timeout(60):
        while True:
            have = await page.evaluate(ITEMS, selector)
            if have == want or (callable(want) and want(have)):
                return have
            await asyncio.sleep(0.05)


def ids(house, limit, where="status = 'open'"):
    return [row["id"] for row in house.select(IDS.format(where, limit))]


async def serve(page, url, answers):
    """Answer requests below a URL from a table, as the page's own server would."""

    async def answer(route):
        name = route.request.url.removeprefix(url).partition("?")[0]
        kind = mimetypes.guess_type(name)[0] or "text/html"
        await route.fulfill(body=answers(name), content_type=kind)

    await page.route(url + "**", answer)


@contextlib.asynccontextmanager
async def page_server(port, text):
    """Serve a page at a port of its own: another origin than the bridge's."""

    async def answer(_):
        return web.Response(text=text, content_type="text/html")

    app = web.Application()
    app.router.add_get("/{name:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield
    await runner.cleanup()


async def test_the_fifteen_lines_are_a_live_page(page):
    tier = await start_tier(TierOptions(speed=0, start="08:00"))
    port = free_port()
    origin = f"http://localhost:{port}"
    flags = {"upstream": tier.address, "listen": "127.0.0.1:0", "explorer": "on"}
    bridge = Bridge(resolve({**flags, "allowed_origins": origin}, environ={})[0])
    url = await bridge.start()
    recipe = RECIPES["plain"].replace("http://127.0.0.1:8080", url)
    try:
        async with page_server(port, recipe):
            await page.goto(origin + "/page.html")
            before = await items(page, lambda have: len(have) == 12)
            assert all(re.fullmatch(r"\d\d:\d\d \w+ \w+ \w+", item) for item in before)
            await asyncio.to_thread(tier.replay.advance_to, 9 * 60)
            await tier.settle()
            await items(page, lambda have: len(have) == 12 and have != before)
    finally:
        await bridge.close()
        await tier.stop()
    assert len(RECIPES["plain"].splitlines()) <= 16


@pytest.fixture(scope="module")
def site(node_packages, tmp_path_factory):
    """All recipes for bundlers, built: one page each."""
    folder = tmp_path_factory.mktemp("site")
    for name, (file, body, main) in PAGES.items():
        script = f'<script type="module" src="./{name}.main.js"></script>'
        page = f"<!doctype html><body>{SCROLL if body is None else body}{script}</body>"
        (folder / f"{name}.html").write_text(page)
        (folder / f"{name}.main.js").write_text(main)
        (folder / file).write_text(RECIPES[name])
    (folder / "vite.config.js").write_text(VITE % json.dumps([f"{name}.html" for name in PAGES]))
    link_app(folder)
    return build_app(folder, base="/app/")


@pytest.mark.parametrize("name", sorted(PAGES))
async def test_a_recipe_for_bundlers_is_live_as_it_is_printed(site, page, house, name):
    await serve(page, house.url + "/app/", lambda path: (site / path).read_text())
    await page.goto(f"{house.url}/app/{name}.html")
    if name != "list":
        where = "TRUE" if name == "fetch-event-source" else "status = 'open'"
        await items(page, ids(house, 5, where))
        await house.sql("UPDATE orders SET total = 20000 WHERE id = 'o00000'")
        await house.sql("UPDATE orders SET total = total - 1 WHERE id = 'o00004'")
        await items(page, ids(house, 5, where))
        return
    seen = set(await items(page, ids(house, 10, "TRUE")))
    scroll = "(by) => document.querySelector('#scroll').scrollBy(0, by)"
    async with asyncio.timeout(60):
        while len(seen) < 200:
            await page.evaluate(scroll, 400)
            have = await page.evaluate(ITEMS, "li")
            assert len(have) <= 30
            seen.update(have)
            await asyncio.sleep(0.02)
    async with asyncio.timeout(60):
        while await page.evaluate(ITEMS, "li") != ids(house, 30, "TRUE"):
            await page.evaluate(scroll, -400)
            await asyncio.sleep(0.02)


async def test_a_newcomers_react_app_is_live_while_vite_serves_it(node_packages, page, tmp_path):
    await asyncio.to_thread(subprocess.run, (sys.executable, "-"), input=RECIPES["orders"],
                            cwd=tmp_path, text=True, check=True)  # fmt: skip
    app = copy_app("react", tmp_path)
    file, _, main = PAGES["react"]
    await asyncio.to_thread(link_app, app)
    url = f"sqlite:///{tmp_path / 'orders.sqlite'}"
    words = (sys.executable, "-m", "bridge", "demo", "--listen", "127.0.0.1:0", "--database", url)
    async with running(*words) as line:
        bridge = (await line()).removeprefix("listening on ")
        config = RECIPES["vite"].replace("http://127.0.0.1:8080", bridge)
        assert bridge in config
        (app / "vite.config.js").write_text(config)
        (app / "index.html").write_text(
            '<!doctype html><main></main><script type="module" src="/main.js"></script>'
        )
        (app / "main.js").write_text(main)
        (app / file).write_text(RECIPES["react"])
        port = free_port()
        vite = (app / "node_modules/.bin/vite", app, "--port", port, "--strictPort")
        async with running(*vite, NO_COLOR="1") as said:
            while "Local:" not in await said():
                pass
            await page.goto(f"http://localhost:{port}/")
            await items(page, lambda have: len(have) == 5)
            with contextlib.closing(sqlite3.connect(tmp_path / "orders.sqlite")) as shop:
                top = [row[0] for row in shop.execute(TOP)]
                await items(page, top)
                shop.execute("UPDATE orders SET total = 2000 WHERE id = 'o3'")
                shop.commit()
                await items(page, ["o3", *[each for each in top if each != "o3"][:4]])


async def test_the_table_without_a_script_is_live(page, house):
    await serve(page, house.url + "/page", lambda _: RECIPES["element"])
    await page.goto(house.url + "/page")
    await items(page, ids(house, 5, "TRUE"), "tr td:first-child")
    await house.sql("UPDATE orders SET total = 20000 WHERE id = 'o00000'")
    await items(page, ids(house, 5, "TRUE"), "tr td:first-child")
    assert await page.evaluate("customElements.get('live-table') !== undefined")


SECRET = jwt.utils.base64url_encode(KEY.encode()).decode()
JWT = {
    "auth": "jwt",
    "jwt_keys": json.dumps({"keys": [{"kty": "oct", "alg": "HS256", "k": SECRET}]}),
    "jwt_issuer": "house",
    "jwt_audience": "live",
}


def sign():
    claims = {"iss": "house", "aud": "live", "sub": "anna", "exp": int(time.time()) + 600}
    return jwt.encode(claims, KEY, "HS256")


async def live_rows(page, library, recipe):
    """Run a recipe that makes a client; return the rows of a query of its."""
    return await page.evaluate(
        f"""async () => {{
          const {{ LiveClient }} = await import("{library}");
          {recipe}
          const live = client.live({{ entity: "orders", limit: 3 }});
          await live.ready;
          client.close();
          return live.rows.length;
        }}"""
    )


@pytest.mark.parametrize("name", ["token", "ticket"])
async def test_a_token_is_asked_of_the_pages_server_and_shown_to_the_bridge(page, name):
    house = await ClientHouse(rows=20, options=JWT).start()
    asked = []
    page.on("request", lambda request: asked.append(request.url.removeprefix(house.url)))
    try:
        await serve(page, house.url + "/session/token", lambda _: sign())
        await page.goto(house.url + "/healthz")
        assert await live_rows(page, "/client/livequery.js", RECIPES[name]) == 3
        assert "/session/token" in asked
        streams = [url for url in asked if url.startswith("/api/v1/live?")]
        if name == "ticket":
            assert "/api/v1/live/ticket" in asked
            assert len(streams) == 1
            assert "ticket=" in streams[0]
            assert "eyJ" not in streams[0]  # as every token begins
        else:
            assert streams == []
    finally:
        await house.stop()


async def test_a_cookie_goes_to_the_bridge_of_the_same_origin_and_of_the_same_site(page):
    port = free_port()
    origin = f"http://localhost:{port}"
    options = {**JWT, "auth_cookie": "session", "allowed_origins": origin}
    house = await ClientHouse(rows=20, options=options).start()
    url = house.url.replace("127.0.0.1", "localhost")
    recipe = RECIPES["cookie"].replace("https://live.app.example", url)
    assert url in recipe
    cookie = {"name": "session", "value": sign(), "url": url, "httpOnly": True, "sameSite": "Lax"}
    try:
        await page.context.add_cookies([cookie])
        await page.goto(url + "/healthz")
        plain = 'const client = new LiveClient("/api/v1/live", { transport: "WAY" });'
        for way in ("ws", "sse", "poll"):
            live = await live_rows(page, "/client/livequery.js", plain.replace("WAY", way))
            assert live == 3, way
        async with page_server(port, "<!doctype html>"):
            await page.goto(origin)
            for way in ("auto", "ws", "sse", "poll"):
                told = recipe.replace("fetch:", f'transport: "{way}", fetch:')
                assert await live_rows(page, url + "/client/livequery.js", told) == 3, way
    finally:
        await house.stop()


@contextlib.asynccontextmanager
async def running(*command, **environ):
    """Run a recipe that is a program; yields a function that returns its next line."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **environ},
    )

    async def line():
        async with patiently(60):
            text = (await process.stdout.readline()).decode()
        assert text, "the program has ended"
        return text.strip()

    try:
        yield line
    finally:
        process.terminate()
        await process.communicate()


@pytest.mark.parametrize("name", ["ws", "eventsource", "httpx-sse"])
async def test_a_recipe_for_other_clients_is_live_as_it_is_printed(
    node, node_packages, house, tmp_path, name
):
    suffix, program = (".py", sys.executable) if name == "httpx-sse" else (".mjs", node)
    file = tmp_path / f"recipe{suffix}"
    file.write_text(RECIPES[name])
    packages = tmp_path / "node_modules"
    packages.mkdir()
    (packages / "livequery-client").symlink_to(LIBRARY)
    for package in ("ws", "eventsource", "eventsource-parser"):
        (packages / package).symlink_to(LIBRARY / "node_modules" / package)
    rows = ids(house, 5, "TRUE")
    change = "UPDATE orders SET total = total + 1 WHERE id = ?"
    async with running(program, file, BRIDGE=house.url, TOKEN="t") as line:
        if name == "ws":
            assert await line() == " ".join(rows)
            await house.sql("UPDATE orders SET total = 20000 WHERE id = 'o00000'")
            assert await line() == " ".join(ids(house, 5, "TRUE"))
            return
        told = [(await line()).split(" ", 1) for _ in range(6)]
        assert [op for op, _ in told] == ["reset"] + ["enter"] * 5
        assert [json.loads(data)["agg_id"] for _, data in told[1:]] == rows
        await house.sql([change, [rows[0]]])
        op, data = (await line()).split(" ", 1)
        assert (op in ("update", "move"), json.loads(data)["agg_id"]) == (True, rows[0])


async def test_a_page_rendered_on_a_server_goes_live_in_the_browser(node, page, tmp_path):
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    house = await ClientHouse(rows=40, options={"allowed_origins": origin}).start()
    (tmp_path / "server.mjs").write_text(RECIPES["ssr"])
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "livequery-client").symlink_to(LIBRARY)
    environ = {"BRIDGE": house.url, "PORT": str(port), "PATH": "/usr/bin"}
    server = subprocess.Popen([node, tmp_path / "server.mjs"], env=environ)
    try:
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(OSError):
                    (await asyncio.open_connection("127.0.0.1", port))[1].close()
                    break
                await asyncio.sleep(0.05)
        response = await page.goto(origin)
        assert re.findall(r"<li>(\w+)</li>", await response.text()) == ids(house, 5)
        await items(page, ids(house, 5))
        await house.sql("UPDATE orders SET total = 20000 WHERE id = 'o00000'")
        await items(page, ids(house, 5))
    finally:
        server.terminate()
        await asyncio.to_thread(server.wait)
        await house.stop()
