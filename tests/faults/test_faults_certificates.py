"""Certificates of both sides replaced under load: in use within a minute, and nothing drops."""

import asyncio
import os
import signal
import ssl
import time
from pathlib import Path

import grpc
import pytest
from faults_support import KINDS, Table, answering, query, running

from scripted_tier import ScriptedTier

BAR = 60.0


def tier_credentials(authority):
    cert, key = authority.issue("tier", 1)
    return grpc.ssl_server_credentials(
        [(Path(key).read_bytes(), Path(cert).read_bytes())],
        root_certificates=Path(authority.ca).read_bytes(),
        require_client_auth=True,
    )


def put(authority, name, serial, where):
    """Put a certificate of NAME in use at a path, as a mounted secret is: by renaming."""
    for made, used in zip(authority.issue(name, serial), where, strict=True):
        os.replace(made, used)


async def serial(url, context):
    """Which certificate of the listener a new connection is shown."""
    host, _, port = url.partition("://")[2].partition(":")
    _, writer = await asyncio.open_connection(host, int(port), ssl=context)
    try:
        return int(writer.get_extra_info("peercert")["serialNumber"], 16)
    finally:
        writer.transport.abort()


@pytest.mark.parametrize(
    "how", ["by a signal", pytest.param("by themselves", marks=pytest.mark.soak)]
)
@pytest.mark.timeout(120)
async def test_certificates_replaced_under_load_are_in_use_in_a_minute_and_nothing_drops(
    run, join, authority, tmp_path, how
):
    theirs = (str(tmp_path / "listener.crt"), str(tmp_path / "listener.key"))
    ours = (str(tmp_path / "bridge.crt"), str(tmp_path / "bridge.key"))
    put(authority, "server", 1, theirs)
    put(authority, "one", 2, ours)
    tier = await ScriptedTier().start(credentials=tier_credentials(authority))
    context = ssl.create_default_context(cafile=authority.ca)
    table = Table()
    async with answering(tier, table):
        program = await run(
            *("serve", "--upstream", tier.address, "--listen", "127.0.0.1:0"),
            *("--tls-cert", theirs[0], "--tls-key", theirs[1], "--upstream-ca", authority.ca),
            *("--upstream-cert", ours[0], "--upstream-key", ours[1]),
        )
        url = await program.listening()
        clients = [
            await join(url, kind, query(f"q{n}"), ssl=context) for n in range(5) for kind in KINDS
        ]
        for client in clients:
            await client.until(lambda c: c.whole)
        async with running(table.keep_changing(0.01)):
            old = list(table.calls.values())
            assert {call.caller for call in old} == {"one"}
            assert await serial(url, context) == 1
            put(authority, "server", 3, theirs)
            put(authority, "two", 4, ours)
            began = time.monotonic()
            if how == "by a signal":
                program.send(signal.SIGHUP)
            took = await in_use(join, table, url, context, began)
            print(f"in use after {took[0]:.1f} s (listener) and {took[1]:.1f} s (to the tier)")
            assert max(took) <= BAR
        for client in clients:
            last = table.versions[client.asked["entity"]]
            await client.until(lambda c, v=last: c.frames[-1]["version"] == v)
            versions = [frame["version"] for frame in client.frames[3:]]
            assert versions == list(range(2, last + 1)), "each change once, in order"
            assert not client.told("stale")
            assert not client.closed.done()
        assert not any(call.over.is_set() for call in old)
    for client in clients:
        client.leave()
    assert (await program.stop())[0] == 0
    await tier.stop()


async def in_use(join, table, url, context, began):
    """Wait until new connections and new subscriptions use the new; (seconds, seconds)."""
    listener = upstream = None
    number = 0
    while listener is None or upstream is None:
        now = time.monotonic() - began
        assert now <= BAR
        if await serial(url, context) == 3:
            listener = listener or now
        number += 1
        client = await join(url, "sse", query(f"new{number}"), ssl=context)
        await client.until(lambda c: c.whole)
        if table.calls[f"new{number}"].caller == "two":
            upstream = upstream or now
        client.leave()
        await asyncio.sleep(0.1)
    return listener, upstream
