"""Fixtures that several folders take: a bridge before a tier, the program as people run it, a
client, certificates, and the leak check."""

import asyncio
import os
import shutil
import sys

import aiohttp
import pytest

from bridge.app import Bridge
from bridge.config.loader import resolve
from ops_support import Authority, Program
from patience import patiently

PROGRAM = (sys.executable, "-m", "bridge")


@pytest.fixture
async def start_bridge(tier):
    """Start a bridge before the folder's tier; options as keywords, durations as text."""
    bridges = []

    async def start(**options):
        flags = {"upstream": tier.address, "listen": "127.0.0.1:0", "linger": "50ms"}
        flags["auth"] = "forward"  # needed where a test listens beyond loopback
        flags.update(options)
        bridge = Bridge(resolve(flags, environ={})[0])
        bridges.append(bridge)
        bridge.url = await bridge.start()
        bridge.base = bridge.url + "/api/v1/live"
        return bridge

    yield start
    for bridge in bridges:
        await bridge.close()


@pytest.fixture
async def run():
    """Start the program with arguments; killed at the end if it still runs."""
    started = []

    async def run(*arguments, environ=None, files=None, **more):
        """`files`: (soft, hard) limit of open files, set by a shell: no fork beside gRPC."""
        limits = "ulimit -Sn {} && ulimit -Hn {} && ".format(*files) if files else ""
        process = await asyncio.create_subprocess_exec(
            *("sh", "-c", limits + 'exec "$@"', "sh"),
            *PROGRAM,
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **(environ or {})},
            **more,
        )
        started.append(Program(process))
        return started[-1]

    yield run
    for program in started:
        if program.process.returncode is None:
            program.process.kill()
        await program.process.stdout.read()
        await program.process.wait()
        await program._reading


@pytest.fixture
def serve(run, tier):
    """Start `serve` before the scripted tier, on a port of its own choice."""

    async def serve(*arguments, **more):
        fixed = ("--upstream", tier.address, "--listen", "127.0.0.1:0")
        return await run("serve", *fixed, *arguments, **more)

    return serve


@pytest.fixture
async def http():
    """A plain HTTP client."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        yield session


@pytest.fixture
def authority(tmp_path):
    """A certificate authority made by openssl."""
    if shutil.which("openssl") is None:
        pytest.skip("NO OPENSSL: nothing about TLS was tested")
    return Authority(tmp_path).found()


@pytest.fixture(autouse=True)
async def no_leaked_tasks():
    """Every task that a test's work began is over when the test is."""
    before = asyncio.all_tasks()
    yield
    async with patiently(5):
        while leaked := {task for task in asyncio.all_tasks() - before if not _is_library(task)} - {
            asyncio.current_task()
        }:
            await asyncio.wait(leaked, timeout=0.05)


def _is_library(task):
    # grpc.aio keeps a poller per loop; it is the library's to end.
    return "grpc" in (getattr(task.get_coro(), "__module__", "") or repr(task.get_coro()))
