"""The recipes of docs/browser.md, as they are printed, in a real browser."""

import asyncio
import contextlib
import json
import mimetypes
import re
import shutil
import subprocess
import time

import jwt
import pytest
from aiohttp import web

from bridge.app import Bridge
from bridge.config.loader import resolve
from client_house import ClientHouse
from library_paths import LIBRARY, ROOT
from livetier.server import TierOptions, start_tier
from ops_support import free_port
from vite_app import build_app

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-quic")
DOCUMENT = (ROOT / "docs" / "browser.md").read_text()
RECIPES = dict(re.findall(r"<!-- recipe: (\w+) -->\n```\w+\n(.*?)\n```", DOCUMENT, re.DOTALL))
ITEMS = "(all) => [...document.querySelectorAll(all)].map((item) => item.textContent)"
IDS = "SELECT id FROM orders WHERE {} ORDER BY total DESC, id LIMIT {}"
KEY = "a key of thirty-two bytes, or more"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(240),
    pytest.mark.skipif(
        CHROMIUM is None, reason="*** NO CHROMIUM: apt-get install chromium, then run again ***"
    ),
]

VITE = {
    "react": (
        "App.jsx",
        'import react from "@vitejs/plugin-react"; export default { plugins: [react()] };',
        (
            'import { createElement } from "react"; import { createRoot } from "react-dom/client";'
            'import App from "./App.jsx";'
            'createRoot(document.querySelector("main")).render(createElement(App));'
        ),
    ),
    "vue": (
        "App.vue",
        'import vue from "@vitejs/plugin-vue"; export default { plugins: [vue()] };',
        'import { createApp } from "vue"; import App from "./App.vue"; createApp(App).mount("main");',
    ),
    "svelte": (
        "App.svelte",
        (
            'import { svelte } from "@sveltejs/vite-plugin-svelte";'
            "export default { plugins: [svelte()] };"
        ),
        (
            'import { mount } from "svelte"; import App from "./App.svelte";'
            'mount(App, { target: document.querySelector("main") });'
        ),
    ),
    "list": ("app.js", "export default {};", 'import "./app.js";'),
}
SCROLL = (
    '<div id="scroll" style="height: 200px; overflow: auto; overflow-anchor: none"><ul></ul></div>'
    "<style>li { height: 40px }</style>"
)


@pytest.fixture
async def page():
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = await browser.new_page()
        complaints = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield page
        await browser.close()
        assert not complaints


@pytest.fixture
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


async def test_the_fifteen_lines_are_a_live_page(page, tmp_path):
    tier = await start_tier(TierOptions(speed=0, start="08:00"))
    port = free_port()
    origin = f"http://localhost:{port}"
    flags = {"upstream": tier.address, "listen": "127.0.0.1:0", "explorer": "on"}
    bridge = Bridge(resolve({**flags, "allowed_origins": origin}, environ={})[0])
    url = await bridge.start()
    (tmp_path / "page.html").write_text(RECIPES["plain"].replace("http://127.0.0.1:8080", url))
    app = web.Application()
    app.router.add_static("/", tmp_path)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        await page.goto(origin + "/page.html")
        before = await items(page, lambda have: len(have) == 12)
        assert all(re.fullmatch(r"\d\d:\d\d \w+ \w+ \w+", item) for item in before)
        await asyncio.to_thread(tier.replay.advance_to, 9 * 60)
        await tier.settle()
        await items(page, lambda have: len(have) == 12 and have != before)
    finally:
        await runner.cleanup()
        await bridge.close()
        await tier.stop()
    assert len(RECIPES["plain"].splitlines()) <= 16


@pytest.mark.parametrize("name", sorted(VITE))
async def test_a_recipe_for_bundlers_is_live_as_it_is_printed(
    node_packages, page, house, tmp_path, name
):
    file, config, main = VITE[name]
    body = SCROLL if name == "list" else "<main></main>"
    script = '<script type="module" src="./main.js"></script>'
    (tmp_path / "index.html").write_text(f"<!doctype html><body>{body}{script}</body>")
    (tmp_path / "vite.config.js").write_text(config)
    (tmp_path / "main.js").write_text(main)
    (tmp_path / file).write_text(RECIPES[name])
    files = await asyncio.to_thread(build_app, tmp_path, base="/app/")
    await serve(
        page, house.url + "/app/", lambda path: (files / (path or "index.html")).read_text()
    )
    await page.goto(house.url + "/app/")
    if name != "list":
        await items(page, ids(house, 5))
        await house.sql("UPDATE orders SET total = 20000 WHERE id = 'o00000'")
        await items(page, ids(house, 5))
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


async def test_the_table_without_a_script_is_live(page, house):
    await serve(page, house.url + "/page", lambda _: RECIPES["element"])
    await page.goto(house.url + "/page")
    await items(page, ids(house, 5, "TRUE"), "tr td:first-child")
    await house.sql("UPDATE orders SET total = 20000 WHERE id = 'o00000'")
    await items(page, ids(house, 5, "TRUE"), "tr td:first-child")
    assert await page.evaluate("customElements.get('live-table') !== undefined")


async def test_the_token_is_asked_of_the_pages_server_and_shown_to_the_bridge(page):
    secret = jwt.utils.base64url_encode(KEY.encode()).decode()
    options = {
        "auth": "jwt",
        "jwt_keys": json.dumps({"keys": [{"kty": "oct", "alg": "HS256", "k": secret}]}),
        "jwt_issuer": "house",
        "jwt_audience": "live",
    }
    claims = {"iss": "house", "aud": "live", "sub": "anna", "exp": int(time.time()) + 600}
    house = await ClientHouse(rows=20, options=options).start()
    try:
        await serve(page, house.url + "/session/token", lambda _: jwt.encode(claims, KEY, "HS256"))
        await page.goto(house.url + "/healthz")
        rows = await page.evaluate(
            f"""async () => {{
              const {{ LiveClient }} = await import("/client/livequery.js");
              {RECIPES["token"]}
              const live = client.live({{ entity: "orders", limit: 3 }});
              await live.ready;
              return live.rows.length;
            }}"""
        )
        assert rows == 3
    finally:
        await house.stop()


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
