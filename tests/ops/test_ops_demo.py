"""The demo: its tier is replaced when it ends, or the demo ends and says why."""

import asyncio
import json
import os
import signal
import socket

from clients import SseClient
from waiting import until

BOARD = {"entity": "flights", "sort": [{"column": "est_dep"}], "limit": 3}


def tier_of(program):
    """Return the process id of the demo's tier; None while there is none."""
    with open(f"/proc/{program.pid}/task/{program.pid}/children") as file:
        children = file.read().split()
    return int(children[0]) if children else None


async def test_a_killed_tier_is_replaced_and_streams_go_on(run, http):
    demo = await run("demo", "--listen", "127.0.0.1:0", "--speed", "600")
    url = await demo.listening()
    client = SseClient(await http.post(url + "/api/v1/live", data=json.dumps(BOARD)))
    await client.frames(4)
    killed = tier_of(demo)
    os.kill(killed, signal.SIGKILL)
    await demo.says("the demo's tier ended with -9; another is started")
    await demo.says("the demo's tier is back", within=30)
    assert tier_of(demo) != killed
    second = SseClient(await http.post(url + "/api/v1/live", data=json.dumps(BOARD)))
    assert (await second.frame())["op"] == "reset"
    assert (await client.frame(within=30))["op"] in {"leave", "enter", "update", "move"}
    client.close()
    second.close()
    assert (await demo.stop())[0] == 0
    assert tier_gone(killed)


def tier_gone(pid):
    return not os.path.exists(f"/proc/{pid}")


async def test_a_tier_that_cannot_be_started_again_ends_the_demo_with_the_reason(run):
    demo = await run("demo", "--listen", "127.0.0.1:0")
    await demo.listening()
    pid = tier_of(demo)
    [port] = await asyncio.to_thread(ports_of, pid)
    os.kill(pid, signal.SIGKILL)
    await until(lambda: tier_of(demo) != pid)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        code, _ = await demo.ended(within=40)
    assert code == 1
    assert any("the tier did not start" in line for line in demo.err)


def ports_of(pid):
    """Return the TCP ports on which a process listens."""
    inodes = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        target = os.readlink(f"/proc/{pid}/fd/{name}")
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    rows = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table) as file:
            rows += [line.split() for line in file.readlines()[1:]]
    return {int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A" and row[9] in inodes}


async def test_a_page_of_another_port_is_served_if_it_is_listed(run, http):
    page = "http://127.0.0.1:3000"
    demo = await run("demo", "--listen", "127.0.0.1:0", "--allowed-origins", page)
    url = await demo.listening()
    for origin, status in ((page, 200), ("http://127.0.0.1:3001", 403)):
        headers = {"Origin": origin, "Content-Type": "application/json"}
        async with http.post(
            url + "/api/v1/live", data=json.dumps(BOARD), headers=headers
        ) as answer:
            assert answer.status == status
    assert (await demo.stop())[0] == 0


async def test_a_list_that_is_none_is_refused_before_anything_is_started(run):
    demo = await run("demo", "--allowed-origins", "app.example")
    code, _ = await demo.ended()
    assert code == 2
    assert any("--allowed-origins" in line for line in demo.err)
