"""Fixtures of the operator's side: programs as people run them, a tier, an HTTP client, openssl."""

import asyncio
import os
import shutil
import sys

import pytest
from ops_support import Authority, Program

from house_fixtures import http, start_bridge  # noqa: F401 - fixtures
from scripted_tier import ScriptedTier

PROGRAM = (sys.executable, "-m", "bridge")


@pytest.fixture
async def tier():
    """A scripted tier on a real port, with two rows for everybody."""
    tier = await ScriptedTier().start()
    tier.rows = ["a", "b"]
    yield tier
    await tier.stop()


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
def authority(tmp_path):
    """A certificate authority made by openssl."""
    if shutil.which("openssl") is None:
        pytest.skip("NO OPENSSL: nothing about TLS was tested")
    return Authority(tmp_path).found()
