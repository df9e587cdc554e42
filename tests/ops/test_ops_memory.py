"""Memory: how usage is read, what the guard does, and that it keeps a process below its limit."""

import asyncio
import json
import logging
import os
import re
import signal
import socket
from pathlib import Path

import pytest

from bridge.process.memory_guard import MemoryGuard
from bridge.process.memory_usage import NO_LIMIT, MemoryUsage, read_usage
from clients import QUERY, SseClient
from ops_support import ready, samples
from patience import patiently
from scripted_tier import enter, reset, update
from waiting import until

MIB = 1 << 20


class Groups:
    """A tree of control groups in files."""

    def __init__(self, root) -> None:
        self.proc, self.mount = root / "proc", root / "cgroup"
        self.proc.mkdir()

    def told(self, *lines):
        (self.proc / "cgroup").write_text("".join(f"{line}\n" for line in lines))

    def v2(self, path, used, limit, cache=0):
        folder = self.mount / path
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.current").write_text(f"{used}\n")
        (folder / "memory.max").write_text(f"{limit}\n")
        (folder / "memory.stat").write_text(f"anon 1\ninactive_file {cache}\nactive_file 7\n")

    def v1(self, path, used, limit, cache=0):
        folder = self.mount / "memory" / path
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.usage_in_bytes").write_text(f"{used}\n")
        (folder / "memory.limit_in_bytes").write_text(f"{limit}\n")
        (folder / "memory.stat").write_text(f"inactive_file 1\ntotal_inactive_file {cache}\n")

    def read(self, limit=None):
        return read_usage(limit, proc=self.proc, mount=self.mount)


@pytest.fixture
def groups(tmp_path):
    return Groups(tmp_path)


def test_v2_is_read_without_inactive_file_cache(groups):
    groups.told("0::/system.slice/bridge.service")
    groups.v2("system.slice/bridge.service", 300, 1000, cache=100)
    assert groups.read() == MemoryUsage(200, 1000)


def test_in_a_container_the_group_is_read_at_the_mount_point(groups):
    groups.told("0::/kubepods/pod1/c1")
    groups.v2("", 300, 1000)
    assert groups.read() == MemoryUsage(300, 1000)
    groups.told("0::/../../elsewhere")
    assert groups.read() == MemoryUsage(300, 1000)


def test_v1_is_read_too(groups):
    groups.told("4:memory:/docker/c1", "1:cpu,cpuacct:/docker/c1", "0::/")
    groups.v1("", 300, 1000, cache=100)
    assert groups.read() == MemoryUsage(200, 1000)
    groups.v1("docker/c1", 300, NO_LIMIT * 8 - 4096)
    assert groups.read() == MemoryUsage(200, 1000)


def test_of_a_group_and_its_ancestors_the_nearest_to_its_limit_counts(groups):
    groups.told("0::/a/b")
    groups.v2("a/b", 300, 1000)
    groups.v2("a", 900, 1500)
    groups.v2("", 900, "max")
    assert groups.read() == MemoryUsage(900, 1500)


@pytest.mark.parametrize("told", [[], ["0::/"], ["0::/a"], ["4:memory:/a", "0::/"]])
def test_without_a_limit_there_is_no_usage(groups, told):
    groups.told(*told)
    groups.v2("a", 300, "max")
    assert groups.read() is None


def test_a_configured_limit_is_for_the_process_alone(groups):
    groups.told("0::/")
    groups.v2("", 300, 1000)
    assert groups.read(0) is None
    assert groups.read(1 << 40) is None, "no Linux"
    level = read_usage(1 << 40)
    assert 10 * MIB < level.used < 10_000 * MIB
    assert level.limit == 1 << 40


# ------------------------------------------------------------------ what is done


@pytest.fixture
def guard_and_cuts():
    """A memory guard and the sizes it asked to cut; each cut is of one client."""
    cuts = []

    def cut(size):
        cuts.append(size)
        return 1

    guard = MemoryGuard(read=lambda: None, cut=cut)
    return guard, cuts


def test_newcomers_are_refused_from_85_percent_until_below_80(guard_and_cuts, caplog):
    caplog.set_level(logging.INFO, "bridge.process.memory_guard")
    guard, cuts = guard_and_cuts
    shorts = []
    for used in (0, 849, 850, 849, 801, 799, 849, 949):
        guard.handle(MemoryUsage(used, 1000))
        shorts.append(guard.short)
    assert shorts == [False, False, True, True, True, False, False, True]
    assert len(caplog.records) == 3, "each change is said once"
    assert not cuts


def test_from_95_percent_as_much_is_cut_as_is_over(guard_and_cuts):
    guard, cuts = guard_and_cuts
    for used in (949, 950, 960, 1200):
        guard.handle(MemoryUsage(used, 1000))
    assert cuts == [1, 10, 250]
    assert guard.cut_clients == 3


async def test_it_checks_as_long_as_there_is_a_limit(monkeypatch):
    monkeypatch.setattr("bridge.process.memory_guard.CHECK_INTERVAL", 0.001)
    levels = iter([MemoryUsage(1, 10), MemoryUsage(9, 10), None])
    guard = MemoryGuard(read=lambda: next(levels), cut=lambda _: 0)
    async with patiently(5):
        await guard.run()
    assert guard.short


async def test_near_the_limit_it_checks_more_often(monkeypatch):
    """Clients accepted before the last check take a moment to grow: half a second may be too long."""
    monkeypatch.setattr("bridge.process.memory_guard.CHECK_INTERVAL", 3600)
    levels = iter([MemoryUsage(7, 10), MemoryUsage(6, 10), None])
    async with patiently(5):
        await MemoryGuard(read=lambda: next(levels), cut=lambda _: 0).run()


# ------------------------------------------------------------------ on a real process


ROWS = 50
ROW = b'"%s"' % (b"x" * 20_000)


@pytest.fixture
async def large(tier):
    """Have the tier answer queries of so many rows with a window of 1 MiB."""
    tier.rows = None

    async def answer():
        while True:
            call = await tier.calls.get()
            call.start()
            rows = [enter(f"r{n}", n, row=ROW) for n in range(call.request.query.limit)]
            call.send(reset(), *rows, complete=True)

    task = asyncio.create_task(answer())
    yield
    task.cancel()
    await asyncio.wait([task])


@pytest.fixture
async def deaf():
    """Ask for a large window of its own on a socket that is not read."""
    socks = []

    async def ask(url):
        host, port = url.removeprefix("http://").split(":")
        raw = socket.socket()
        entity = f"e{len(socks)}"
        socks.append(raw)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(raw, (host, int(port)))
        body = json.dumps({**QUERY, "entity": entity, "limit": ROWS}).encode()
        head = b"POST /api/v1/live HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
        await loop.sock_sendall(raw, head % len(body) + body)
        return raw

    yield ask
    for sock in socks:
        sock.close()


async def limited(serve, http, mib):
    """Start a bridge with so much memory, and one client that reads a window of one row."""
    program = await serve(
        *("--memory-limit", f"{mib}MiB", "--max-connections-per-ip", "0"),
        *("--stall-timeout", "0", "--linger", "0"),
    )
    url = await program.listening()
    await ready(http, url)
    query = json.dumps({**QUERY, "limit": 1})
    client = SseClient(await http.post(url + "/api/v1/live", data=query))
    await client.frames(2)
    return program, url, client


async def reasons(http, url):
    async with http.get(url + "/readyz") as response:
        return (await response.json())["reasons"]


@pytest.mark.usefixtures("large")
async def test_near_its_limit_a_process_refuses_newcomers_and_is_not_ready(serve, http, deaf):
    limit = 200
    program, url, client = await limited(serve, http, limit)
    socks = []
    refused = False
    while not refused:
        socks.append(await deaf(url))
        await asyncio.sleep(0.3)  # a few MiB between two looks
        async with http.post(url + "/api/v1/live", data=json.dumps(QUERY)) as response:
            refused = response.status == 503
            if refused:
                assert int(response.headers["Retry-After"]) >= 1
                assert "short of memory" in (await response.json())["detail"]
    said = await program.says("newcomers are refused")
    most = int(re.search(r"(\d+) MiB of", said)[1])
    print(f"refused at {most} of {limit} MiB, {len(socks)} deaf")
    assert 0.85 * limit <= most < 0.95 * limit
    assert await reasons(http, url) == ["short of memory"]
    assert (await samples(http, url))["memory_cuts_total"] == 0, "nobody is cut yet"
    for sock in socks:
        sock.close()

    async def served():
        return not await reasons(http, url)

    await until(served)
    client.close()


@pytest.mark.usefixtures("large")
async def test_at_its_limit_a_process_cuts_those_with_the_most_unsent(serve, http, tier, deaf):
    """A crowd of them comes at once, before anyone looks."""
    limit = 200
    program, url, client = await limited(serve, http, limit)
    # Else a loaded machine lets them come one by one, and most are refused.
    os.kill(program.pid, signal.SIGSTOP)
    try:
        socks = await asyncio.gather(*(deaf(url) for _ in range(100)))
    finally:
        os.kill(program.pid, signal.SIGCONT)

    async def below():
        now = await samples(http, url)
        return now["memory_cuts_total"] and now["memory_used_bytes"] < 0.95 * limit * MIB and now

    now = await until(below, within=20)
    print(
        f"{now['memory_cuts_total']:.0f} of 100 cut, {now['memory_used_bytes'] / MIB:.0f} MiB used"
    )
    assert now['streams_ended_total{reason="stalled"}'] == now["memory_cuts_total"]
    assert await program.says("slow clients were cut")
    small = next(c for c in tier.open.values() if c.request.query.limit == 1)
    small.send(update("r0", 0, version=2, stream_id="2-0"))
    assert (await client.frame())["version"] == 2, "who reads is served"
    client.close()
    for sock in socks:
        sock.close()


@pytest.mark.soak
@pytest.mark.timeout(240)
@pytest.mark.usefixtures("large")
async def test_a_crowd_of_stalled_readers_exceeds_the_limit_by_less_than_the_margin(
    serve, http, deaf
):
    """The margin that docs/operations.md asks for: a tenth."""
    limit = 400
    program, url, client = await limited(serve, http, limit)
    status = Path(f"/proc/{program.pid}/status")
    for wave in range(4):
        socks = await asyncio.gather(*(deaf(url) for _ in range(150)))
        await asyncio.sleep(5)
        [peak] = re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())
        print(f"\nwave {wave + 1}: at most {int(peak) / 1024:.0f} MiB of {limit}")
        for sock in socks:
            sock.close()
    assert int(peak) / 1024 < 1.1 * limit
    client.close()
