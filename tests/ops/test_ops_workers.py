"""Several workers on one port: one announcement, one scrape, one drain, no orphans."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import time

import pytest

from bridge.config.loader import ConfigError, resolve
from clients import QUERY, SseClient
from ops_support import ready, samples
from patience import patient, patiently
from waiting import until

pytestmark = pytest.mark.early


def children_of(pid):
    with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]
    return []


def runs(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def bridges_of(pid):
    return [child for child in children_of(pid) if runs(child)]


async def gone(*pids, within=10):
    async def check():
        return not any(map(runs, pids))

    await until(check, within)


@pytest.fixture
async def start_workers(serve, http):
    """Start `serve --workers 2`; returns the program and its URL once a worker is ready."""

    async def start(*arguments, **more):
        program = await serve("--workers", "2", "--max-connections-per-ip", "0", *arguments, **more)
        url = await program.listening()
        await ready(http, url, headers={"Connection": "close"})
        return program, url

    return start


async def streams(http, url, count):
    clients = [
        SseClient(await http.post(url + "/api/v1/live", data=json.dumps(QUERY)))
        for _ in range(count)
    ]
    for client in clients:
        await client.frames(3)
    return clients


async def test_workers_share_the_port_and_are_scraped_as_one(start_workers, http, tier):
    program, url = await start_workers()
    workers = bridges_of(program.pid)
    assert len(workers) == 2
    clients = await streams(http, url, 24)
    assert len(tier.open) == 2, "each of them has clients: the odds against it are 2^23 to 1"
    for _ in range(4):
        told = await samples(http, url, headers={"Connection": "close"})
        assert told["viewers"] == told['connections{protocol="core",transport="sse"}'] == 24
        assert told["upstream_subscriptions"] == 2
        assert told["frames_total"] == 72
        assert told["workers"] == 2
        assert told["worker_restarts_total"] == 0
        assert [told[name] for name in told if name.startswith("build_info")] == [1]
    code, took = await program.stop()
    assert (code, took < patient(5)) == (0, True)
    for client in clients:
        assert await client.event() is None, "told, and ended properly"
    assert not any(map(runs, workers))
    assert sum("[w1]" in line for line in program.err) >= 1


async def test_the_announcement_is_printed_once_when_all_workers_serve(start_workers):
    program, _ = await start_workers()
    program.send()
    code, rest = await program.ended()
    assert (code, rest) == (0, "")
    assert sum("workers serve" in line for line in program.err) == 1


async def test_a_worker_that_dies_is_replaced_and_counted(start_workers, http):
    program, url = await start_workers()
    victim, other = bridges_of(program.pid)
    os.kill(victim, signal.SIGKILL)
    await program.says("ended with -9; another in")

    async def restarted():
        with contextlib.suppress(OSError):
            told = await samples(http, url, headers={"Connection": "close"})
            return (told["workers"], told["worker_restarts_total"]) == (2, 1)

    await until(restarted, within=20)
    now = bridges_of(program.pid)
    assert other in now
    assert victim not in now
    assert len(now) == 2
    assert (await program.stop())[0] == 0


async def test_no_worker_outlives_a_parent_that_is_killed(start_workers):
    program, _ = await start_workers()
    workers = bridges_of(program.pid)
    program.process.kill()
    await gone(*workers)


async def test_ctrl_c_in_a_terminal_drains_all_workers(start_workers):
    program, _ = await start_workers(start_new_session=True)
    workers = bridges_of(program.pid)
    os.killpg(program.pid, signal.SIGINT)
    assert (await program.ended())[0] == 0
    await gone(*workers)


async def test_a_second_signal_ends_all_workers_at_once(start_workers, http):
    program, url = await start_workers("--drain-timeout", "60s")
    sockets = [await http.ws_connect(url + "/api/v1/live/ws", autoclose=False) for _ in range(6)]
    program.send()
    await program.says("draining", count=2)
    began = time.monotonic()
    program.send()
    code, _ = await program.ended()
    assert (code, time.monotonic() - began < patient(5)) == (0, True)
    for ws in sockets:
        await ws.close()


async def test_sighup_reaches_every_worker(serve, authority):
    cert, key = authority.issue("server", 1)
    program = await serve("--workers", "2", "--tls-cert", cert, "--tls-key", key)
    assert (await program.listening()).startswith("https://")
    authority.issue("server", 2)
    program.send(signal.SIGHUP)
    await program.says("certificate read again", count=2)
    assert (await program.stop())[0] == 0


async def test_an_admin_port_is_shared_too(start_workers, http):
    program, url = await start_workers("--admin-listen", "127.0.0.1:0")
    admins = {
        (await program.says("metrics and health at", count=count)).rpartition(" ")[2]
        for count in (1, 2)
    }
    assert len(admins) == 1
    [admin] = admins
    assert (await samples(http, admin))["workers"] == 2
    assert (await http.get(url + "/metrics")).status == 404


async def test_an_address_in_use_exits_1_whoever_has_it(serve):
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        program = await serve("--listen", address, "--workers", "2")
        code, out = await program.ended()
    assert (code, out) == (1, "")
    assert "in use" in "\n".join(program.err)


async def test_a_stop_while_workers_start_leaves_no_process(run):
    program = await run(
        *("serve", "--upstream", "127.0.0.1:1", "--listen", "127.0.0.1:0", "--workers", "2"),
        *("--wait-for-tier", "on"),
    )
    async with patiently(10):
        while len(bridges_of(program.pid)) < 2:
            await asyncio.sleep(0.01)
    workers = bridges_of(program.pid)
    assert (await program.stop())[0] == 0
    await gone(*workers)


@pytest.mark.parametrize("number", ["0", "65", "two", "-1"])
def test_a_number_of_workers_out_of_range_is_refused(number):
    with pytest.raises(ConfigError, match="1 to 64"):
        resolve({"workers": number}, environ={})
