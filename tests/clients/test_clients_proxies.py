"""The library behind the fronts of deploy/, over HTTP/2 and TLS, in a real Chromium."""

import asyncio
import contextlib
import shutil

import pytest

from bench.paths import VENV
from chromium import on_chromium
from client_house import ClientHouse
from house_fixtures import authority  # noqa: F401 - a fixture
from library_page import faults, same, show, shown, statuses
from library_paths import ROOT
from ops_support import free_port
from patience import patiently

pytestmark = [*on_chromium(120), pytest.mark.early]

BOARDS = [
    (
        {"entity": "orders", "where": [["status", "=", status]], "sort": ["-total"], "limit": 8},
        f"SELECT * FROM orders WHERE status = '{status}' ORDER BY total DESC, id LIMIT 8",  # noqa: S608
    )
    for status in ("open", "paid", "sent", "done")
] + [
    (
        {"entity": "orders", "sort": ["-total"], "limit": 30},
        "SELECT * FROM orders ORDER BY total DESC, id LIMIT 30",
    )
]
AROUND_NGINX = """
worker_processes 1; daemon off; error_log stderr warn; pid %(folder)s/nginx.pid;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path %(folder)s; proxy_temp_path %(folder)s; fastcgi_temp_path %(folder)s;
  uwsgi_temp_path %(folder)s; scgi_temp_path %(folder)s;
  %(front)s
}
"""


def find(name):
    """The program of a front."""
    if name == "nginx":
        path = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    else:
        ours = VENV / "bin" / "envoy"
        path = shutil.which("envoy") or (str(ours) if ours.exists() else None)
    if path is None:
        how = "apt-get install nginx" if name == "nginx" else "make bench installs it"
        pytest.skip(f"*** NO {name.upper()}: {how}, then run again ***")
    return path


def configuration(name, folder, port, bridge, cert, key):
    """Write the front's file with the test's ports and certificate; nothing else is changed."""
    file = {"nginx": "nginx.conf", "envoy": "envoy.yaml"}[name]
    text = (ROOT / "deploy" / file).read_text()
    host, _, bridge_port = bridge.partition(":")
    ours = {
        "listen 443 ": f"listen 127.0.0.1:{port} ",
        "server 127.0.0.1:8080;": f"server {bridge};",
        "/etc/nginx/tls/tls.crt": cert,
        "/etc/nginx/tls/tls.key": key,
    }
    if name == "envoy":
        ours = {
            "address: 0.0.0.0, port_value: 443": f"address: 127.0.0.1, port_value: {port}",
            "address: 127.0.0.1, port_value: 8080": f"address: {host}, port_value: {bridge_port}",
            "/etc/envoy/tls/tls.crt": cert,
            "/etc/envoy/tls/tls.key": key,
        }
    for written, instead in ours.items():
        assert written in text
        text = text.replace(written, instead)
    path = folder / file
    path.write_text(AROUND_NGINX % {"folder": folder, "front": text} if name == "nginx" else text)
    return path


@contextlib.asynccontextmanager
async def front(name, folder, port, bridge, files):
    """Run a front before a bridge."""
    program = find(name)
    file = configuration(name, folder, port, bridge, *files)
    more = ("--use-dynamic-base-id", "--concurrency", "1", "-l", "error") if name == "envoy" else ()
    process = await asyncio.create_subprocess_exec(program, "-c", str(file), *more)
    try:
        async with patiently(20):
            while True:
                assert process.returncode is None
                with contextlib.suppress(OSError):
                    (await asyncio.open_connection("127.0.0.1", port))[1].close()
                    break
                await asyncio.sleep(0.05)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def connections(page):
    """Note by which protocol and on which connection the bridge answers the page."""
    session = await page.context.new_cdp_session(page)
    seen = {"protocols": set(), "ids": set(), "sockets": []}

    def answered(event):
        response = event["response"]
        if "/api/v1/live" in response["url"]:
            seen["protocols"].add(response["protocol"])
            seen["ids"].add(response["connectionId"])

    session.on("Network.responseReceived", answered)
    session.on(
        "Network.webSocketHandshakeResponseReceived",
        lambda event: seen["sockets"].append(event["response"]["status"]),
    )
    await session.send("Network.enable")
    return seen


async def exact(house, page):
    try:
        async with patiently(30):
            while set(await statuses(page)) != {"live"} or not same(
                await shown(page), [house.select(sql) for _, sql in BOARDS]
            ):
                await asyncio.sleep(0.05)
    except TimeoutError:
        why = await page.evaluate("views.map(({ status, error }) => [status, error?.message])")
        pytest.fail(f"not exact: {why}")


@pytest.mark.parametrize("name", ["nginx", "envoy"])
async def test_all_transports_pass_and_streams_and_polls_share_one_connection(
    context, authority, tmp_path, name
):
    find(name)
    port = free_port()
    origin = f"https://localhost:{port}"
    options = {"allowed_origins": origin, "trusted_proxies": "127.0.0.1"}
    house = await ClientHouse(rows=100, options=options).start()
    files = house.bridge_files()
    bridge = house.url.removeprefix("http://")
    tabs = await context.browser.new_context(ignore_https_errors=True)
    try:
        async with front(name, tmp_path, port, bridge, authority.issue("front", 1)):
            for transport in ("ws", "sse", "poll"):
                page = await tabs.new_page()
                # The fronts pass the streams alone. The library is served from here.
                await page.route(
                    "**/client/**", lambda route: route.fulfill(**files(route.request.url))
                )
                seen = await connections(page)
                queries = [query for query, _ in BOARDS]
                schema = "/api/v1/live/schema"
                await show(page, origin, queries, path=schema, transport=transport)
                await exact(house, page)
                for n in range(3):
                    change = ["UPDATE orders SET total = ? WHERE id = 'o00000'", [20_000 + n]]
                    await house.sql(change)
                    await exact(house, page)
                assert await faults(page) == []
                if transport == "ws":
                    assert seen["sockets"] == [101]
                else:
                    assert seen["protocols"] == {"h2"}
                    assert len(seen["ids"]) == 1
                await page.close()
    finally:
        await tabs.close()
        await house.stop()
