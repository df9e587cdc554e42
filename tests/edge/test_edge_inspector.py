"""The inspector on the operators' port: JSON, live windows of it, and what it hides."""

import base64
import json
import signal

import grpc
import pytest

from bridge.web.admin.live_trees import LiveTrees
from clients import QUERY, SseClient
from house_fixtures import run, serve  # noqa: F401 - fixtures
from scripted_tier import enter, leave, update

TOKEN = "operators-secret-0123456789"


@pytest.fixture
async def bridge(start_bridge, tier):
    tier.rows = ["a", "b"]
    bridge = await start_bridge(
        admin_listen="127.0.0.1:0", linger="5s", forward_metadata="authorization,x-tenant"
    )
    bridge.admin = bridge._admin.url
    return bridge


async def look(http, bridge, path="subscriptions", **more):
    async with http.get(f"{bridge.admin}/admin/{path}", **more) as response:
        assert response.status == 200, await response.text()
        assert response.headers["Cache-Control"] == "no-store"
        return await response.json()


async def watch(http, bridge, **headers):
    client = SseClient(await http.post(bridge.base, json=QUERY, headers=headers))
    await client.frames(3)
    return client


def the_call(tier):
    [call] = tier.open.values()
    return call


async def test_a_subscription_is_told_with_its_query_viewers_and_causes(bridge, tier, http):
    clients = [await watch(http, bridge) for _ in range(3)]
    call = the_call(tier)
    call.send(update("a", 0, version=2, stream_id="1-0"))
    call.send(leave("nobody", 7, stream_id="2-0"), update("b", 1, version=2, stream_id="2-0"))
    for client in clients:
        await client.frames(2)
    found = await look(http, bridge)
    [one] = found["subscriptions"]
    assert (found["total"], found["draining"]) == (1, False)
    assert found["replicas"][0]["address"] == tier.address
    assert one["query"] == QUERY
    assert (one["entity"], one["viewers"], one["rows"], one["live"]) == ("flights", 3, 2, True)
    assert (one["groups"], one["stale"]) == (2, None)
    assert one["resets"]["subscribed"] == 1
    assert one["repairs"] == {"splice": 1}
    for client in clients:
        client.close()


async def test_a_lost_tier_is_told_with_its_cause(bridge, tier, http):
    client = await watch(http, bridge)
    call = the_call(tier)
    tier.rows = None
    call.fail(grpc.StatusCode.UNAVAILABLE)
    await tier.next_call()
    [one] = (await look(http, bridge))["subscriptions"]
    assert one["stale"] == "unavailable"
    assert one["resubscribes"] == {"unavailable": 1}
    assert one["live"] is False
    client.close()


async def test_no_credential_can_be_read_and_equal_ones_look_alike(bridge, http):
    clients = [
        await watch(http, bridge, Authorization=f"Bearer {secret}", **{"X-Tenant": tenant})
        for secret, tenant in (("one", "acme"), ("two", "acme"))
    ]
    found = await look(http, bridge)
    text = json.dumps(found)
    assert "Bearer" not in text
    assert "acme" not in text
    one, two = [each["scope"] for each in found["subscriptions"]]
    assert one["x-tenant"] == two["x-tenant"]
    assert one["authorization"] != two["authorization"]
    for client in clients:
        client.close()


async def test_viewers_are_told_with_backlog_and_age(bridge, tier, http):
    clients = [await watch(http, bridge) for _ in range(2)]
    found = await look(http, bridge, "viewers")
    assert found["total"] == 2
    for viewer in found["viewers"]:
        assert viewer["entity"] == "flights"
        assert (viewer["behind"], viewer["backlog_bytes"], viewer["conflations"]) == (0, 0, 0)
        assert (viewer["frames"], viewer["up_to_date"]) == (3, True)
    assert len({viewer["id"] for viewer in found["viewers"]}) == 2
    for client in clients:
        client.close()


async def test_why_a_row_moved_is_told_by_what_came_before_it(bridge, tier, http):
    client = await watch(http, bridge)
    call = the_call(tier)
    call.send(enter("c", 0, stream_id="1-0"))
    call.send(update("c", 0, version=2, stream_id="2-0"))
    call.send(leave("a", 1, stream_id="3-0"))
    call.send(update("b", 1, version=2, stream_id="4-0"))
    await client.frames(4)
    [one] = (await look(http, bridge))["subscriptions"]
    every = await look(http, bridge, f"subscriptions/{one['id']}")
    assert [group["stream_id"] for group in every["groups"]] == ["4-0", "3-0", "2-0", "1-0"]
    assert {group["cause"] for group in every["groups"]} == {"change"}
    assert all(group["received_at"] > 1.7e9 for group in every["groups"])
    why = await look(http, bridge, f"subscriptions/{one['id']}", params={"row": "b"})
    assert [(group["stream_id"], group["row"]) for group in why["groups"]] == [
        ("4-0", {"before": 1, "after": 1, "by": "itself"}),
        ("3-0", {"before": 2, "after": 1, "by": "others"}),
        ("1-0", {"before": 1, "after": 2, "by": "others"}),
    ]
    assert "row" not in every["groups"][0]["frames"][0]
    for wrong in ("999", "x", "٣", "9" * 400):
        async with http.get(f"{bridge.admin}/admin/subscriptions/{wrong}") as response:
            assert response.status == 404
    client.close()


async def test_a_failover_is_told_as_the_cause_of_its_group(bridge, tier, http):
    client = await watch(http, bridge)
    tier.rows = ["b", "c"]
    the_call(tier).fail(grpc.StatusCode.UNAVAILABLE)
    await client.frames(2)
    [one] = (await look(http, bridge))["subscriptions"]
    [group] = (await look(http, bridge, f"subscriptions/{one['id']}"))["groups"]
    assert (group["cause"], group["stream_id"]) == ("resubscribed", "")
    assert [(f["op"], f["agg_id"]) for f in group["frames"]] == [("leave", "a"), ("enter", "c")]
    client.close()


async def test_the_inspector_is_a_live_window_itself(bridge, http, monkeypatch):
    monkeypatch.setattr("bridge.web.admin.inspector_handlers.INTERVAL", 0.02)
    stream = SseClient(await http.get(bridge.admin + "/admin/live/subscriptions"))
    first = await stream.frames(2)
    assert [frame["op"] for frame in first] == ["reset", "enter"]
    assert first[1]["agg_id"] == "bridge"
    client = await watch(http, bridge)
    ops = {}
    while "enter" not in ops or ops["enter"]["row"]["viewers"] != 1:
        frame = await stream.frame()
        assert frame["op"] in ("enter", "update")
        if frame["agg_id"] != "bridge":
            ops["enter"] = frame
    assert ops["enter"]["row"]["query"] == QUERY
    client.close()
    stream.close()


def test_frames_of_live_trees_lead_from_one_look_to_the_next():
    trees = LiveTrees()
    assert [f.op.__index__() for f in trees.changes([("a", {"n": 1}), ("b", {"n": 1})])] == [
        5,
        1,
        1,
    ]
    assert trees.changes([("a", {"n": 1}), ("b", {"n": 1})]) == []
    [moved] = trees.changes([("b", {"n": 1}), ("a", {"n": 1})])
    assert (moved.old_index, moved.new_index) in ((0, 1), (1, 0))
    [changed] = trees.changes([("b", {"n": 2}), ("a", {"n": 1})])
    assert (changed.agg_id, changed.version) == ("b", 2)
    assert [f.agg_id for f in trees.changes([])] == ["a", "b"]


async def test_the_page_is_served_and_nothing_beside_it(bridge, http):
    async with http.get(bridge.admin + "/") as response:
        assert (response.status, response.content_type) == (200, "text/html")
        assert "default-src 'self'" in response.headers["Content-Security-Policy"]
    for name in ("inspector.js", "inspector.css"):
        async with http.get(f"{bridge.admin}/inspector/{name}") as response:
            assert response.status == 200
    for name in ("..%2finspector.py", "nothing.js", "__init__.py"):
        async with http.get(f"{bridge.admin}/inspector/{name}") as response:
            assert response.status == 404
    async with http.post(bridge.admin + "/admin/drain", json={}) as response:
        assert response.status == 404  # without a token there are no commands


async def test_a_token_guards_all_of_it_and_browsers_are_asked_for_it(start_bridge, http, tmp_path):
    (tmp_path / "token").write_text(TOKEN)
    bridge = await start_bridge(admin_listen="127.0.0.1:0", admin_token=str(tmp_path / "token"))
    admin = bridge._admin.url
    paths = (
        "admin/subscriptions",
        "admin/viewers",
        "admin/subscriptions/1",
        "inspector/inspector.js",
    )
    for path in (*paths, "admin/live/viewers", ""):
        async with http.get(f"{admin}/{path}") as response:
            assert response.status == 401
            asked = response.headers["WWW-Authenticate"]
            assert asked.startswith("Basic" if path in ("", "inspector/inspector.js") else "Bearer")
    basic = base64.b64encode(f"anybody:{TOKEN}".encode()).decode()
    for credential in (f"Bearer {TOKEN}", f"Basic {basic}"):
        headers = {"Authorization": credential}
        async with http.get(admin + "/admin/subscriptions", headers=headers) as response:
            assert response.status == 200
        async with http.get(admin + "/", headers=headers) as response:
            assert response.status == 200
    for wrong in ("Basic x", "Basic /w==", f"Basic {basic[:-4]}", "Bearer x", f"Digest {TOKEN}"):
        async with http.get(admin + "/", headers={"Authorization": wrong}) as response:
            assert response.status == 401
    async with http.get(admin + "/healthz") as response:
        assert response.status == 200


async def test_a_foreign_page_can_not_command_with_the_operators_password(
    start_bridge, http, tmp_path
):
    (tmp_path / "token").write_text(TOKEN)
    bridge = await start_bridge(admin_listen="127.0.0.1:0", admin_token=str(tmp_path / "token"))
    basic = base64.b64encode(f"x:{TOKEN}".encode()).decode()
    headers = {"Authorization": f"Basic {basic}", "Origin": "https://evil.example"}
    async with http.post(bridge._admin.url + "/admin/drain", headers=headers) as response:
        assert response.status == 403
    assert not bridge._hub.draining


async def test_drain_ends_the_process_as_a_signal_does(serve, http, tmp_path):
    (tmp_path / "token").write_text(TOKEN)
    program = await serve("--admin-listen", "127.0.0.1:0", "--admin-token", str(tmp_path / "token"))
    await program.listening()
    admin = (await program.says("metrics and health at")).rpartition(" ")[2]
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with http.post(admin + "/admin/drain", headers=headers) as response:
        assert response.status == 202
    code, _ = await program.ended()
    assert code in (0, -signal.SIGTERM)
