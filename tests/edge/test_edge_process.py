"""The program as people run it: real processes, real signals, exit codes, words."""

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
import time

import aiohttp
import grpc
import pytest

from clients import QUERY, SseClient
from patience import patient, patiently

PROGRAM = (sys.executable, "-m", "bridge")
BOARD = {
    "entity": "flights",
    "where": [{"column": "origin", "op": "eq", "value": "JFK"}],
    "sort": [{"column": "est_dep"}],
    "limit": 12,
}


class Program:
    """One run of the command line."""

    def __init__(self, process) -> None:
        self.process = process

    async def heartbeat_timeout(self):
        async with patiently(30):
            line = (await self.process.stdout.readline()).decode()
        match = re.fullmatch(r"listening on (\S+)\n", line)
        assert match, (line, (await self.process.stderr.read()).decode())
        return match[1]

    async def stop(self, number=signal.SIGTERM):
        """Signal it; returns (exit code, seconds it took, rest of stdout, stderr)."""
        began = time.monotonic()
        self.process.send_signal(number)
        async with patiently(20):
            out, err = await self.process.communicate()
        return self.process.returncode, time.monotonic() - began, out.decode(), err.decode()


@pytest.fixture
async def run():
    started = []

    async def run(*arguments, environ=None):
        process = await asyncio.create_subprocess_exec(
            *PROGRAM,
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **(environ or {})},
        )
        started.append(process)
        return Program(process)

    yield run
    for process in started:
        if process.returncode is None:
            process.kill()
        # Read what is left, or the pipes outlive the loop.
        await process.communicate()


async def words(run, *arguments, environ=None):
    """Run to the end; returns (exit code, stdout, stderr)."""
    program = await run(*arguments, environ=environ)
    async with patiently(20):
        out, err = await program.process.communicate()
    return program.process.returncode, out.decode(), err.decode()


def children_of(pid):
    with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]
    return []


async def test_demo_serves_live_rows_and_leaves_nothing_running(run, http):
    demo = await run("demo", "--listen", "127.0.0.1:0", "--speed", "600")
    url = await demo.heartbeat_timeout()
    [child] = children_of(demo.process.pid)
    client = SseClient(await http.post(url + "/api/v1/live", data=json.dumps(BOARD)))
    frames = await client.frames(13)
    assert [f["op"] for f in frames] == ["reset"] + ["enter"] * 12
    assert (await client.frame(within=15))["stream_id"]
    async with http.ws_connect(url + "/api/v1/live/ws") as ws:
        await ws.send_str(json.dumps({"action": "subscribe", "query": BOARD}))
        assert json.loads((await ws.receive(timeout=patient(5))).data)["op"] == "reset"
        code, took, out, err = await demo.stop()
        assert (code, out) == (0, "")
        assert took < patient(5)
        while (message := await ws.receive(timeout=patient(5))).type is aiohttp.WSMsgType.TEXT:
            pass
        assert message.data == 1001 or ws.close_code == 1001
    assert "Traceback" not in err
    assert not os.path.exists(f"/proc/{child}")
    client.close()


async def test_serve_drains_on_sigterm_and_tells_readiness(run, tier, http):
    tier.rows = ["a"]
    serve = await run("serve", "--upstream", tier.address, "--listen", "127.0.0.1:0")
    url = await serve.heartbeat_timeout()
    async with patiently(10):
        while (await http.get(url + "/readyz")).status != 200:
            await asyncio.sleep(0.05)
    client = SseClient(await http.post(url + "/api/v1/live", data=json.dumps(QUERY)))
    assert (await client.frame())["op"] == "reset"
    code, took, _, err = await serve.stop()
    assert code == 0
    assert took < patient(5)
    assert "Traceback" not in err
    assert (await client.frame())["op"] == "enter"
    assert await client.event() is None, "the stream ended properly"
    async with patiently(3):
        while tier.open:
            await asyncio.sleep(0.01)


async def test_tier_stops_on_sigterm(run):
    tier = await run("tier", "--listen", "127.0.0.1:0")
    await tier.heartbeat_timeout()
    code, took, _, err = await tier.stop()
    assert code == 0
    assert took < patient(5)
    assert "Traceback" not in err


async def test_the_tiers_child_ends_when_the_demo_is_killed(run):
    demo = await run("demo", "--listen", "127.0.0.1:0")
    await demo.heartbeat_timeout()
    [child] = children_of(demo.process.pid)
    demo.process.kill()
    async with patiently(5):
        while os.path.exists(f"/proc/{child}"):
            await asyncio.sleep(0.05)


async def test_readyz_names_the_reason_when_no_tier_is_reachable(run, http):
    serve = await run("serve", "--upstream", "127.0.0.1:1", "--listen", "127.0.0.1:0")
    url = await serve.heartbeat_timeout()
    response = await http.get(url + "/readyz")
    assert response.status == 503
    assert (await response.json())["reasons"] == ["no tier reachable"]
    assert (await http.get(url + "/healthz")).status == 200


@pytest.mark.parametrize(
    ("arguments", "environ", "says"),
    [
        (["serve"], {}, "--upstream is needed"),
        (["serve", "--upstram", "x:1"], {}, "--upstream"),
        (["serve", "--upstream", "x"], {}, "HOST:PORT"),
        (["serve", "--upstream", "x:1", "--linger", "soon"], {}, "--linger 'soon'"),
        (["serve", "--upstream", "x:1"], {"BRIDGE_LINGR": "5s"}, "did you mean BRIDGE_LINGER"),
        (["serve", "--upstream", "x:1"], {"BRIDGE_LINGER": "soon"}, "from BRIDGE_LINGER"),
        (["serve", "--upstream", "x:1", "--config", "/nope.toml"], {}, "/nope.toml"),
        (["serve", "--upstream", "x:1", "--listen", "8080"], {}, "--listen '8080'"),
        (["serve", "--upstream", "x:1", "--scope", "x-tenant"], {}, "--forward-metadata"),
        (["serve", "--upstream", "x:1", "--forward-metadata", "host"], {}, "'host'"),
        (["serve", "--upstream", "x:1", "--allowed-origins", "app.example"], {}, "app.example"),
        (["serve", "--upstream", "dns:///x"], {}, "dns:///x"),
        (["serve", "--upstream", "x:1", "--upstream-ca", "/nope.pem"], {}, "/nope.pem"),
        (["serve", "--upstream", "x:1", "--upstream-cert", "c"], {}, "--upstream-key"),
        (["check", "--upstream", "x:1", "--upstream-ca", "/nope.pem"], {}, "/nope.pem"),
        (["demo", "--listen", "nowhere"], {}, "--listen"),
        (["tier", "--start", "noon"], {}, "noon"),
        (["tier", "--database", "mysql://x"], {}, "mysql://x"),
        (["srve"], {}, "srve"),
    ],
)
async def test_what_cannot_be_used_exits_2_and_says_why(run, arguments, environ, says):
    code, out, err = await words(run, *arguments, environ=environ)
    assert code == 2
    assert not out or arguments[0] == "check"
    assert says in err
    assert "Traceback" not in err


async def test_an_unknown_key_of_the_file_is_refused_with_the_nearest(run, tmp_path):
    file = tmp_path / "bridge.toml"
    file.write_text('upstream = "x:1"\nmax-conections = 5\n')
    code, _, err = await words(run, "serve", "--config", str(file))
    assert code == 2
    assert "max-connections" in err


async def test_an_address_in_use_exits_1_in_one_line(run, tier):
    first = await run("serve", "--upstream", tier.address, "--listen", "127.0.0.1:0")
    address = (await first.heartbeat_timeout()).removeprefix("http://")
    code, _, err = await words(run, "serve", "--upstream", tier.address, "--listen", address)
    assert code == 1
    assert "in use" in err
    assert "Traceback" not in err


async def test_print_config_shows_each_value_and_where_it_came_from(run, tmp_path):
    file = tmp_path / "bridge.toml"
    file.write_text('upstream = ["a:1", "b:2"]\nlinger = "1s"\nmax-rows = 7\nsharing = true\n')
    code, out, _ = await words(
        run,
        *("serve", "--config", str(file), "--linger", "9s", "--print-config"),
        environ={"BRIDGE_MAX_ROWS": "8"},
    )
    assert code == 0
    lines = {line.split(" = ")[0]: line for line in out.splitlines()}
    assert re.search(r'"9s"\s+# --linger$', lines["linger"])
    assert re.search(r'"8"\s+# BRIDGE_MAX_ROWS$', lines["max-rows"])
    assert '"a:1,b:2"' in lines["upstream"]
    assert str(file) in lines["upstream"]
    assert lines["ping-interval"].endswith("# default")


async def test_print_config_shows_the_path_of_a_secret_and_never_a_secret(run, tmp_path):
    file = tmp_path / "a.key"
    file.write_text("x" * 40)
    secret = "A-secret-in-the-place-of-its-file-" * 9
    for given, shown in ((str(file), str(file)), (secret, "***")):
        code, out, _ = await words(
            run,
            *("serve", "--upstream", "a:1", "--ticket-key", given, "--print-config"),
            *("--auth", "jwt", "--jwt-issuer", "i", "--jwt-audience", "a"),
            *("--admin-listen", "127.0.0.1:1", "--admin-token", given),
            environ={"BRIDGE_JWT_KEYS": f"secret:{given}"},
        )
        assert code == 0
        lines = {line.split(" = ")[0]: line.split('"')[1] for line in out.splitlines()}
        prefix = "secret:" if shown != "***" else ""
        assert [lines["ticket-key"], lines["admin-token"]] == [shown, shown]
        assert lines["jwt-keys"] == prefix + shown
        assert secret not in out


async def test_check_says_whether_the_tier_can_be_reached(run, tier):
    checking = asyncio.create_task(words(run, "check", environ={"BRIDGE_UPSTREAM": tier.address}))
    (await tier.next_call()).fail(grpc.StatusCode.NOT_FOUND)
    code, out, _ = await checking
    assert (code, out) == (0, f"configuration: ok\n{tier.address}: reachable\n")
    code, out, err = await words(run, "check", "--upstream", "127.0.0.1:1")
    assert code == 1
    assert "127.0.0.1:1: not reachable" in out
    assert "no tier reachable" in err


@pytest.mark.parametrize("transport", [[], ["--ws"]])
async def test_tail_prints_frames_and_tells_a_refusal(run, tier, start_bridge, transport):
    bridge = await start_bridge()
    tail = asyncio.create_task(words(run, "tail", bridge.base, json.dumps(QUERY), *transport))
    call = await tier.next_call()
    call.start()
    call.snapshot("a", "b")
    call.end()
    code, out, _ = await tail
    assert code == 0
    assert [json.loads(line)["op"] for line in out.splitlines()] == ["reset", "enter", "enter"]
    code, _, err = await words(run, "tail", bridge.base, '{"entity":"a"}', *transport)
    assert code == 1
    assert "4500" in err if transport else "limit" in err


@pytest.mark.parametrize("transport", [[], ["--ws"]])
async def test_tail_sends_a_token_of_a_file_or_the_environment(
    run, tier, start_bridge, transport, tmp_path
):
    bridge = await start_bridge()
    file = tmp_path / "token"
    file.write_text("from-the-file\n")
    asked = ("tail", bridge.base, json.dumps(QUERY), *transport)
    variable = {"LIVEQUERY_TOKEN": "of-the-variable"}
    for more, environ, sent in (
        ((), {}, None),
        ((), variable, "Bearer of-the-variable"),
        (("--token-file", str(file)), variable, "Bearer from-the-file"),
    ):
        tail = asyncio.create_task(words(run, *asked, *more, environ=environ))
        call = await tier.next_call()
        assert call.metadata.get("authorization") == sent
        call.start()
        call.snapshot("a")
        call.end()
        assert (await tail)[0] == 0
    file.write_text("two words")
    for wrong in (file, tmp_path / "missing"):
        code, _, err = await words(run, *asked, "--token-file", str(wrong), environ={})
        assert code == 2
        assert "--token-file" in err
        assert "words" not in err


async def test_a_second_process_sends_a_returning_client_only_what_it_lacks(run, tier, http):
    tier.rows = ["a", "b", "c"]
    urls = []
    for _ in range(2):
        serve = await run("serve", "--upstream", tier.address, "--listen", "127.0.0.1:0")
        urls.append(await serve.heartbeat_timeout())

    async def told(url, **more):
        async with http.ws_connect(url + "/api/v1/live/ws", protocols=["livequery.v1"]) as ws:
            await ws.send_json({"action": "subscribe", "sub": "s", "query": QUERY, **more})
            return [json.loads((await ws.receive(timeout=patient(10))).data) for _ in range(2)]

    frames, ready = await told(urls[0])
    assert ready["resumed"] == "snapshot"
    known = [[f["agg_id"], f["version"]] for f in frames["frames"] if "agg_id" in f]
    tier.rows = ["b", "d", "c"]
    frames, ready = await told(urls[1], resume=frames["pos"], known=known)
    assert ready["resumed"] == "diff"
    assert [(f["op"], f["agg_id"]) for f in frames["frames"]] == [("leave", "a"), ("enter", "d")]


async def test_help_names_every_option_of_serve(run):
    code, out, _ = await words(run, "serve", "--help")
    assert code == 0
    for name in ("upstream", "listen", "base-path", "max-rows", "viewer-backlog", "log-level"):
        assert f"--{name}" in out
