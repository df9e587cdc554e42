"""deploy/nginx.conf, run by the nginx that is installed: streams and sockets pass unbuffered."""

import asyncio
import json
import shutil
import ssl
import subprocess
from pathlib import Path

import aiohttp
import pytest

from clients import QUERY, SseClient
from ops_support import free_port
from patience import patient
from scripted_tier import update
from waiting import until

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="NO NGINX: deploy/nginx.conf was not tested")

CONFIG = Path(__file__).parents[2] / "deploy" / "nginx.conf"
MAIN = """
worker_processes 1;
daemon off;
error_log stderr warn;
pid {folder}/nginx.pid;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  {front}
}}
"""


def configuration(folder, port, bridge, cert, key):
    """Write the front's file with the test's ports and certificate; returns a whole file's path."""
    front = CONFIG.read_text()
    for text, ours in (
        ("listen 443 ", f"listen 127.0.0.1:{port} "),
        ("server 127.0.0.1:8080;", f"server {bridge};"),
        ("/etc/nginx/tls/tls.crt", cert),
        ("/etc/nginx/tls/tls.key", key),
    ):
        assert text in front
        front = front.replace(text, ours)
    file = folder / "nginx.conf"
    file.write_text(MAIN.format(folder=folder, front=front))
    return file


def test_the_file_is_one_that_nginx_takes(tmp_path, authority):
    file = configuration(tmp_path, free_port(), "127.0.0.1:8080", *authority.issue("front", 1))
    done = subprocess.run([NGINX, "-t", "-c", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
async def front(tmp_path, authority):
    """Run nginx before a bridge; returns its address."""
    running = []

    async def start(bridge):
        port = free_port()
        files = authority.issue("front", 1)
        file = configuration(tmp_path, port, bridge.url.removeprefix("http://"), *files)
        running.append(await asyncio.create_subprocess_exec(NGINX, "-c", str(file)))

        async def accepts():
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                return False
            writer.close()
            return True

        await until(accepts)
        return f"https://127.0.0.1:{port}"

    yield start
    for process in running:
        process.terminate()
        await process.wait()


async def test_streams_and_sockets_pass_it_at_once_over_tls(start_bridge, tier, front, authority):
    tier.rows = ["a"]
    bridge = await start_bridge(trusted_proxies="127.0.0.1")
    url = await front(bridge) + "/api/v1/live"
    context = ssl.create_default_context(cafile=authority.ca)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as http:
        client = SseClient(await http.post(url, data=json.dumps(QUERY)))
        await client.frames(2)
        [call] = tier.open.values()
        call.send(update("a", 0, version=2, stream_id="2-0"))
        assert (await client.frame())["version"] == 2
        async with http.ws_connect(url + "/ws") as socket:
            await socket.send_str(json.dumps({"action": "subscribe", "query": QUERY}))
            assert json.loads((await socket.receive(timeout=patient(5))).data)["op"] == "reset"
        client.close()


async def test_the_bridge_counts_clients_of_it_by_their_own_addresses(
    start_bridge, tier, front, authority
):
    tier.rows = ["a"]
    bridge = await start_bridge(trusted_proxies="127.0.0.1/32", max_connections_per_ip="1")
    url = await front(bridge) + "/api/v1/live"
    context = ssl.create_default_context(cafile=authority.ca)
    forged = {"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9"}
    for own in ("127.0.0.2", "127.0.0.3"):
        connector = aiohttp.TCPConnector(ssl=context, local_addr=(own, 0))
        async with aiohttp.ClientSession(connector=connector, headers=forged) as http:
            served = await http.post(url, data=json.dumps(QUERY))
            assert served.status == 200
            refused = await http.post(url, data=json.dumps(QUERY))
            assert refused.status == 429, "however it forges its address"
            served.close()
    assert set(bridge.context.admission._by_address) <= {"127.0.0.2", "127.0.0.3"}


async def test_browsers_speak_http2_with_it(start_bridge, tier, front, authority):
    url = await front(await start_bridge())
    context = ssl.create_default_context(cafile=authority.ca)
    context.set_alpn_protocols(["h2", "http/1.1"])
    port = int(url.rpartition(":")[2])
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
    writer.close()
    await writer.wait_closed()
