"""HAProxy before the bridge, as a TCP proxy that sends PROXY headers."""

import asyncio
import contextlib
import json
import shutil

import aiohttp
import pytest

from clients import QUERY, SseClient
from ops_support import free_port
from waiting import until

HAPROXY = shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
pytestmark = pytest.mark.skipif(HAPROXY is None, reason="NO HAPROXY: PROXY headers of its own")

FILE = """
defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
listen front
  bind 127.0.0.1:{port}
  server bridge {bridge} {send} check inter 200ms
"""


async def first_answer(http, url):
    """Ask until the proxy listens; returns the answer."""
    answers = []

    async def answered():
        with contextlib.suppress(aiohttp.ClientConnectionError):
            answers.append(await http.post(url, data=json.dumps(QUERY)))
        return bool(answers)

    await until(answered)
    return answers[0]


@pytest.mark.parametrize("send", ["send-proxy", "send-proxy-v2"])
async def test_clients_of_haproxy_are_counted_by_their_own_addresses(
    start_bridge, tier, tmp_path, send
):
    tier.rows = ["a"]
    bridge = await start_bridge(
        trusted_proxies="127.0.0.1/32", proxy_protocol="on", max_connections_per_ip="1"
    )
    port, file = free_port(), tmp_path / "haproxy.cfg"
    where = bridge.url.removeprefix("http://")
    file.write_text(FILE.format(port=port, bridge=where, send=send))
    process = await asyncio.create_subprocess_exec(HAPROXY, "-db", "-f", str(file))
    url = f"http://127.0.0.1:{port}/api/v1/live"
    try:
        for own in ("127.0.0.2", "127.0.0.3"):
            connector = aiohttp.TCPConnector(local_addr=(own, 0))
            async with aiohttp.ClientSession(connector=connector) as http:
                answer = await first_answer(http, url)
                assert (await SseClient(answer).frame())["op"] == "reset"
                assert set(bridge.context.admission._by_address) == {own}
                refused = await http.post(url, data=json.dumps(QUERY))
                assert refused.status == 429
                answer.close()
            await until(lambda: not bridge.context.admission.open)
    finally:
        process.terminate()
        await process.wait()
