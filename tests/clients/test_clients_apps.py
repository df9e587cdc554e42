"""What npm packs, installed into a fresh React and a fresh Svelte app, built by Vite, clicked on."""

import asyncio
import subprocess

import pytest
import pytest_asyncio
from aiohttp import web

from chromium import on_chromium
from client_house import ClientHouse
from ops_support import free_port
from vite_app import build_app, copy_app, install_app

pytestmark = [*on_chromium(240), pytest.mark.early]

ITEMS = "(list) => [...document.querySelectorAll(`${list} li`)].map((li) => li.textContent)"


@pytest_asyncio.fixture(loop_scope="module")
async def serve():
    """Serve files at a port; the bridge has to know the origin before."""
    runners = []

    async def serve(files, port):
        async def index(_):
            return web.FileResponse(files / "index.html")

        app = web.Application()
        app.router.add_get("/", index)
        app.router.add_static("/", files)
        runners.append(web.AppRunner(app))
        await runners[-1].setup()
        await web.TCPSite(runners[-1], "127.0.0.1", port).start()

    yield serve
    for runner in runners:
        await runner.cleanup()


@pytest.mark.parametrize("name", ["react", "svelte"])
async def test_a_fresh_app_installs_builds_and_its_list_loads_on_by_a_click(
    node_packages, browser, serve, tmp_path, name
):
    app = copy_app(name, tmp_path)
    await asyncio.to_thread(install_app, app)
    files = await asyncio.to_thread(build_app, app)
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    house = await ClientHouse(rows=60, options={"allowed_origins": origin}).start()
    await serve(files, port)
    try:
        page = await browser.new_page()
        complaints = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(f"{origin}/?bridge={house.base}")

        async def shows(selector, limit, where="TRUE"):
            sql = "SELECT id FROM orders WHERE {} ORDER BY total DESC, id LIMIT {}"
            want = [row["id"] for row in house.select(sql.format(where, limit))]
            async with asyncio.timeout(60):
                while await page.evaluate(ITEMS, selector) != want:
                    await asyncio.sleep(0.05)

        is_open = "status = 'open'"
        await shows("#open", 5, is_open)
        await shows("#all", 10)
        await page.click("button")
        await shows("#all", 20)
        await house.sql("UPDATE orders SET total = 20000 WHERE id = 'o00000'")
        await shows("#open", 5, is_open)
        await shows("#all", 20)
        assert house.streams() == 1
        assert not complaints
        command = ("npx", "--no-install", "livequery-client", "types", house.base)
        types = await asyncio.to_thread(
            subprocess.run, command, cwd=app, check=True, capture_output=True, text=True
        )
        assert "export interface Orders {" in types.stdout
        await page.close()
    finally:
        await house.stop()
