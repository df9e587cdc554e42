"""Below HTTP: slow senders, idle connections, and a process without free file descriptors."""

import asyncio
import contextlib
import json
import resource
import socket
import time

import pytest

from clients import QUERY, SseClient
from ops_support import ready, samples
from patience import patient, patiently
from waiting import until

LIMIT = 10.0
"""Seconds that docs/operations.md gives an incomplete request and an idle connection."""
LATE = 2.0


async def connect(url):
    host, port = url.rpartition("/")[2].split(":")
    return await asyncio.open_connection(host, int(port))


async def dribble(url, head, *, every=0.5):
    """Send a byte at a time and never the end; returns what was answered, and after how long."""
    reader, writer = await connect(url)
    began = time.monotonic()

    async def send():
        with contextlib.suppress(ConnectionError):
            writer.write(head)
            while True:
                await asyncio.sleep(every)
                writer.write(b"x")

    sending = asyncio.create_task(send())
    try:
        async with patiently(LIMIT + 5):
            answer = b""
            with contextlib.suppress(ConnectionError):
                answer = await reader.read()
        return answer, time.monotonic() - began
    finally:
        sending.cancel()
        writer.close()


async def test_a_connection_with_an_unfinished_request_is_closed_after_ten_seconds(
    serve, http, authority
):
    url = await (await serve()).listening()
    cert, key = authority.issue("server", 1)
    secure = await (await serve("--tls-cert", cert, "--tls-key", key)).listening()
    handshake = asyncio.create_task(dribble(secure, b"\x16\x03\x01\x02\x00\x01", every=60))
    host = b"Host: localhost\r\n"
    whole = b"GET /healthz HTTP/1.1\r\n" + host + b"\r\n"
    post = b"POST /api/v1/live HTTP/1.1\r\n" + host + b"Content-Length: 9000\r\n\r\n"
    named = {
        "half a line": b"GET /",
        "a line without its end": b"GET /healthz HTTP/1.1\r\nX-Slow: ",
        "a second request": whole + b"GET /healthz HTTP/1.1\r\nX-Slow: ",
        "a body without its end": post,
    }
    idle = asyncio.create_task(dribble(url, whole, every=60))
    silent = asyncio.create_task(dribble(url, b"", every=60))
    client = SseClient(await http.post(url + "/api/v1/live", data=json.dumps(QUERY)))
    answers = dict(
        zip(
            named,
            await asyncio.gather(*(dribble(url, h) for h in named.values())),
            strict=True,
        )
    )
    for name, (_, took) in answers.items():
        assert LIMIT - 1 < took < LIMIT + patient(LATE), (name, took)
    assert b" 200 " in answers["a second request"][0]
    assert b" 408 " in answers["a body without its end"][0]
    for waiting in (idle, silent, handshake):
        _, took = await waiting
        assert took < LIMIT + patient(LATE)
    assert (await client.frame())["op"] == "reset", "others are served"
    client.close()


# ------------------------------------------------------------------ file descriptors


async def test_the_soft_limit_is_raised_and_a_hard_limit_too_low_is_logged(serve):
    program = await serve("--max-connections", "1000", files=(256, 512))
    await program.listening()
    line = await program.says("open files allow")
    assert "--max-connections 1000 is more than 512 open files allow: 384 it is" in line
    assert (await program.stop())[0] == 0
    program = await serve("--max-connections", "300", files=(256, 512))
    await program.listening()
    assert (await program.stop())[0] == 0
    assert not any("open files" in line for line in program.err)


def cpu(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


@pytest.mark.parametrize("exhausted", ["by clients", "by the process itself"])
async def test_out_of_descriptors_streams_go_on_cpu_is_idle_and_it_recovers(
    serve, http, tier, exhausted
):
    program = await serve(files=(256, 256))
    url = await program.listening()
    await ready(http, url)
    client = SseClient(await http.post(url + "/api/v1/live", data=json.dumps(QUERY)))
    await client.frames(3)
    if exhausted == "by the process itself":
        # As if something else held them: fewer are left than the listener counts on.
        resource.prlimit(program.pid, resource.RLIMIT_NOFILE, (64, 256))
    host, port = url.removeprefix("http://").split(":")
    crowd = [socket.create_connection((host, int(port))) for _ in range(400)]
    before, began = cpu(program.pid), time.monotonic()
    [call] = tier.open.values()
    for version in range(2, 12):
        call.send(update(version))
        assert (await client.frame())["version"] == version
        await asyncio.sleep(0.1)
    share = (cpu(program.pid) - before) / (time.monotonic() - began)
    assert share < 0.5
    for sock in crowd:
        sock.close()
    began = time.monotonic()

    async def recovered():
        with contextlib.suppress(OSError, asyncio.TimeoutError):
            return (await samples(http, url, headers={"Connection": "close"}))["viewers"] == 1

    await until(recovered)
    assert time.monotonic() - began < patient(2)
    client.close()
    assert (await program.stop())[0] == 0


def update(version):
    from scripted_tier import update

    return update("a", 0, version=version, stream_id=f"{version}-0")
