"""The pages by axe-core: board, explorer and inspector, in light, in dark and on a phone."""

import asyncio
import itertools
import json
import sys
from urllib.parse import quote

import pytest
import pytest_asyncio

from chromium import on_chromium
from library_paths import LIBRARY

AXE = LIBRARY / "node_modules" / "axe-core" / "axe.min.js"

pytestmark = [*on_chromium(300), pytest.mark.early, pytest.mark.usefixtures("node_packages")]
DESK, PHONE = {"width": 1360, "height": 900}, {"width": 390, "height": 844}
LOOKS = {
    "light": {"viewport": DESK, "color_scheme": "light"},
    "dark": {"viewport": DESK, "color_scheme": "dark"},
    "phone": {"viewport": PHONE, "color_scheme": "light"},
}
QUERY = {
    "entity": "flights",
    "where": [{"column": "origin", "op": "eq", "value": "JFK"}, {"or": [
        {"column": "status", "op": "ne", "value": "x"}, {"column": "tail", "op": "isnull"},
    ]}],
    "sort": [{"column": "est_dep"}],
}  # fmt: skip
OPEN_ALL = "for (const each of document.querySelectorAll('details')) each.open = true"


async def until(page, expression, within=90):
    async with asyncio.timeout(within):
        while not await page.evaluate(expression):
            await asyncio.sleep(0.1)


@pytest_asyncio.fixture(loop_scope="module")
async def run_program():
    started = []

    async def run(*arguments):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bridge", *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        started.append(process)
        line = (await process.stdout.readline()).decode()
        return line.removeprefix("listening on ").strip(), process

    yield run
    for process in reversed(started):
        process.terminate()
        await process.communicate()


async def admin_url(process):
    async with asyncio.timeout(30):
        while b"metrics and health at" not in (line := await process.stderr.readline()):
            pass
    return line.decode().rpartition(" ")[2].strip()


async def test_no_page_has_a_violation_in_any_look(browser, run_program):
    demo, _ = await run_program("demo", "--listen", "127.0.0.1:0", "--speed", "0")
    tier, _ = await run_program("tier", "--listen", "127.0.0.1:0", "--speed", "0")
    _, process = await run_program(
        *("serve", "--upstream", tier, "--listen", "127.0.0.1:0"),
        *("--admin-listen", "127.0.0.1:0"),
    )
    specs = quote(
        json.dumps([{"q": QUERY}, {"q": {"entity": "flights", "sort": [{"column": "x"}]}}])
    )
    failed = "document.querySelector('.problem:not([hidden])')"
    pages = {
        demo + "/": "document.querySelectorAll('#board tr[data-id]').length > 5",
        f"{demo}/explorer/#{specs}": f"document.querySelectorAll('.body .row').length > 5 && {failed}",
        await admin_url(process) + "/": "document.querySelector('#state').textContent === 'live'",
    }
    opened = []
    for look, (url, drawn) in itertools.product(LOOKS, pages.items()):
        # The pages' policy allows no script but their own: it is not what is judged here.
        page = await browser.new_page(bypass_csp=True, **LOOKS[look])
        await page.goto(url)
        await until(page, drawn)
        await page.evaluate(OPEN_ALL)
        opened.append((look, url, page))
    await asyncio.sleep(1.5)  # until what has faded in has its colour
    for look, url, page in opened:
        await page.add_script_tag(path=AXE)
        found = await page.evaluate("axe.run().then(({ violations }) => violations)")
        told = [(each["id"], [node["target"] for node in each["nodes"]]) for each in found]
        assert told == [], (url, look)
        await page.close()
