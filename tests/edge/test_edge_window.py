"""A window over plain HTTP, on real sockets (docs/wire.md §8)."""

import asyncio
import json
import zlib

import grpc
import pytest

from clients import QUERY, SseClient
from patience import patiently
from scripted_tier import enter, leave, reset, update
from waiting import until


def crc(*rows):
    text = "".join([f"{agg_id}\n{version}\n" for agg_id, version in rows])
    return f"{zlib.crc32(text.encode()):08x}"


def get(http, bridge, query=QUERY, headers=None, method="GET", **parameters):
    parameters = {"query": json.dumps(query), **parameters}
    return http.request(method, bridge.base + "/window", params=parameters, headers=headers)


async def body(response, status=200):
    assert response.status == status, await response.text()
    return json.loads(await response.read())


@pytest.fixture
async def bridge(start_bridge, tier):
    tier.rows = ["a", "b"]
    return await start_bridge(linger="5s", max_connections_per_ip="0")


def the_call(tier):
    [call] = tier.open.values()
    return call


async def shows(http, bridge, *rows):
    """Wait until the window is these (id, version) rows."""

    async def look():
        async with get(http, bridge) as response:
            return (await body(response))["digest"] == crc(*rows)

    await until(look)


# ------------------------------------------------------------ the whole window


async def test_a_window_is_one_answer_with_rows_position_and_digest(start_bridge, tier, http):
    bridge = await start_bridge()
    asking = asyncio.create_task(get(http, bridge))
    call = await tier.next_call()
    call.start()
    call.send(reset(), enter("a", 0, row=b'{"id": "a", "x": "<"}'))
    call.send(
        enter("b", 1, version=0, row=b"", cur=("10:00", "b")),
        complete=True,
    )
    response = await asking
    text = await response.read()
    answer = json.loads(text)
    assert answer == {
        "rows": [
            {
                "agg_id": "a",
                "version": 1,
                "row": {"id": "a", "x": "<"},
                "cursor": {"values": ["a"]},
            },
            {"agg_id": "b", "cursor": {"values": ["10:00", "b"]}},
        ],
        "pos": answer["pos"],
        "digest": crc(("a", 1), ("b", 0)),
        "stale": False,
    }
    rows = b'{"rows":[{"agg_id":"a","version":1,"row":{"id":"a","x":"\\u003c"},"cursor":{"values":["a"]}},'
    assert text.startswith(rows)
    assert text.endswith(
        b'"pos":"%b","digest":"%b","stale":false}'
        % (answer["pos"].encode(), answer["digest"].encode())
    )
    assert response.headers["ETag"] == f'"{answer["pos"]}"'
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Cache-Control"] == "private, no-cache"
    assert response.headers["Content-Length"] == str(len(text))


@pytest.mark.parametrize("method", ["POST", "QUERY"])
async def test_a_body_asks_as_the_url_does(bridge, http, method):
    fresh = await body(await get(http, bridge))
    for text in (QUERY, {"query": QUERY}, {"QUERY": QUERY, "else": 1}):
        async with http.request(method, bridge.base + "/window", json=text) as response:
            assert await body(response) == fresh


async def test_head_is_the_same_without_the_body(bridge, http):
    whole = await get(http, bridge)
    text = await whole.read()
    head = await get(http, bridge, method="HEAD")
    assert (head.status, await head.read()) == (200, b"")
    for name in ("ETag", "Content-Length", "Content-Type", "Cache-Control"):
        assert head.headers[name] == whole.headers[name]
    assert len(text) == int(head.headers["Content-Length"])


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE"])
async def test_other_methods_are_405_with_what_is_allowed(bridge, http, method):
    async with http.request(method, bridge.base + "/window") as response:
        assert response.status == 405
        assert response.content_type == "application/problem+json"
        allowed = {name.strip() for name in response.headers["Allow"].split(",")}
        assert allowed == {"GET", "HEAD", "POST", "QUERY", "OPTIONS"}


async def test_a_thousand_first_loads_at_once_are_one_subscribe(start_bridge, tier, http):
    bridge = await start_bridge(max_connections_per_ip="0")
    asking = [asyncio.create_task(get(http, bridge)) for _ in range(1000)]
    call = await tier.next_call()
    await until(lambda: bridge._admission.open == 1000, within=30)  # all of them wait for it
    call.start()
    call.snapshot("a", "b")
    texts = {await response.read() for response in await asyncio.gather(*asking)}
    assert len(texts) == 1
    assert tier.opened == 1


async def test_it_joins_the_subscription_of_a_stream_and_sees_what_that_has_seen(
    bridge, tier, http
):
    stream = SseClient(await http.post(bridge.base, json=QUERY))
    await stream.frames(3)
    the_call(tier).send(update("a", 0, version=7, stream_id="1-0"))
    assert (await stream.frame())["version"] == 7
    answer = await body(await get(http, bridge))
    assert [row.get("version") for row in answer["rows"]] == [7, 1]
    assert tier.opened == 1
    stream.close()


async def test_the_subscription_is_kept_through_the_linger_and_then_let_go(
    start_bridge, tier, http
):
    tier.rows = ["a"]
    bridge = await start_bridge(linger="300ms")
    first = await body(await get(http, bridge))
    call = the_call(tier)
    assert await body(await get(http, bridge)) == first
    async with patiently(5):
        await call.over.wait()
    assert tier.opened == 1


async def test_a_window_in_streamed_mode_has_no_digest(bridge, tier, http):
    answer = await body(await get(http, bridge, {**QUERY, "mode": 1}))
    assert [row["agg_id"] for row in answer["rows"]] == ["a", "b"]
    assert set(answer) == {"rows", "pos", "stale"}


async def test_a_window_whose_tier_is_lost_is_stale(start_bridge, tier, http):
    bridge = await start_bridge(linger="5s")
    tier.rows = ["a"]
    stream = SseClient(await http.post(bridge.base, json=QUERY))
    await stream.frames(2)
    call = the_call(tier)
    tier.rows = None
    call.fail(grpc.StatusCode.UNAVAILABLE)
    await tier.next_call()  # it is not answered
    answer = await body(await get(http, bridge))
    assert answer["stale"] is True
    assert [row["agg_id"] for row in answer["rows"]] == ["a"]
    stream.close()


# ------------------------------------------------------------ what changed since


@pytest.mark.parametrize(
    "tags", ['"POS"', 'W/"POS"', '"x", W/"POS" ,"y"', "*", '"a,b","POS"', ' , "POS",']
)
async def test_an_entity_tag_that_matches_is_304_without_a_body(bridge, http, tags):
    pos = (await body(await get(http, bridge)))["pos"]
    response = await get(http, bridge, headers={"If-None-Match": tags.replace("POS", pos)})
    assert (response.status, await response.read()) == (304, b"")
    assert response.headers["ETag"] == f'"{pos}"'
    assert response.headers["Cache-Control"] == "private, no-cache"
    assert "Content-Type" not in response.headers


async def test_several_lines_of_entity_tags_are_one_list(bridge, http):
    pos = (await body(await get(http, bridge)))["pos"]
    headers = [("If-None-Match", '"x"'), ("If-None-Match", f'W/"{pos}"')]
    assert (await get(http, bridge, headers=headers)).status == 304


async def test_an_old_entity_tag_brings_the_whole_window(bridge, tier, http):
    pos = (await body(await get(http, bridge)))["pos"]
    the_call(tier).send(update("a", 0, version=7, stream_id="1-0"))
    await shows(http, bridge, ("a", 7), ("b", 1))
    answer = await body(await get(http, bridge, headers={"If-None-Match": f'"{pos}"'}))
    assert [row["agg_id"] for row in answer["rows"]] == ["a", "b"]
    assert answer["pos"] != pos


async def test_nothing_new_since_a_position_is_304(bridge, http):
    pos = (await body(await get(http, bridge)))["pos"]
    response = await get(http, bridge, since=pos)
    assert (response.status, response.headers["ETag"]) == (304, f'"{pos}"')
    for member in ({"since": pos}, {"since": pos, "known": [["z", 1]]}):
        response = await http.post(bridge.base + "/window", json={"query": QUERY, **member})
        assert response.status == 304


async def test_since_a_position_come_the_frames_that_follow_it(bridge, tier, http):
    pos = (await body(await get(http, bridge)))["pos"]
    call = the_call(tier)
    call.send(update("a", 0, version=7, stream_id="1-0"))
    call.send(leave("b", 1, stream_id="2-0"), enter("c", 1, stream_id="2-0"))
    await shows(http, bridge, ("a", 7), ("c", 1))
    response = await get(http, bridge, since=pos, headers={"If-None-Match": f'"{pos}"'})
    answer = await body(response)
    assert list(answer) == ["frames", "pos", "digest", "stale", "resumed"]
    assert [(f["op"], f.get("agg_id"), f["stream_id"]) for f in answer["frames"]] == [
        ("update", "a", "1-0"),
        ("leave", "b", "2-0"),
        ("enter", "c", "2-0"),
    ]
    assert (answer["resumed"], answer["stale"]) == ("replay", False)
    assert answer["digest"] == crc(("a", 7), ("c", 1))
    assert response.headers["ETag"] == f'"{answer["pos"]}"'


@pytest.mark.parametrize("since", ["", "0badc0ffee00.3", "x", "é", "a" * 200])
async def test_a_position_that_is_of_no_use_brings_a_snapshot_reset_first(bridge, http, since):
    answer = await body(await get(http, bridge, since=since))
    assert [frame["op"] for frame in answer["frames"]] == ["reset", "enter", "enter"]
    assert answer["resumed"] == "snapshot"


async def test_a_position_of_another_query_is_of_no_use(bridge, http):
    pos = (await body(await get(http, bridge)))["pos"]
    other = {**QUERY, "entity": "planes"}
    assert (await body(await get(http, bridge, other, since=pos)))["resumed"] == "snapshot"


async def test_known_brings_the_fewest_frames_on_any_replica(start_bridge, bridge, http):
    known = [["b", 1], ["z", 3], ["a", 0]]
    for one in (bridge, await start_bridge()):
        wrapped = {"query": QUERY, "since": "0badc0ffee00.3", "known": known}
        async with http.post(one.base + "/window", json=wrapped) as response:
            answer = await body(response)
        assert answer["resumed"] == "diff"
        ops = [(frame["op"], frame["agg_id"]) for frame in answer["frames"]]
        assert ops == [("leave", "z"), ("move", "a")]
        assert answer["digest"] == crc(("a", 1), ("b", 1))


async def test_known_equal_to_the_window_is_no_frame_and_the_new_position(bridge, http):
    pos = (await body(await get(http, bridge)))["pos"]
    wrapped = {"query": QUERY, "since": "0badc0ffee00.3", "known": [["a", 1], ["b", 1]]}
    async with http.post(bridge.base + "/window", json=wrapped) as response:
        answer = await body(response)
    assert (answer["frames"], answer["pos"], answer["resumed"]) == ([], pos, "diff")


# ------------------------------------------------------------ one position for all transports


async def test_a_position_works_on_a_v1_socket_and_comes_back_from_there(bridge, tier, http):
    pos = (await body(await get(http, bridge)))["pos"]
    async with http.ws_connect(bridge.base + "/ws", protocols=["livequery.v1"]) as ws:
        await ws.send_json({"action": "subscribe", "sub": "s", "query": QUERY, "resume": pos})
        ready = await ws.receive_json()
        assert (ready["type"], ready["resumed"]) == ("ready", "replay")
        the_call(tier).send(update("a", 0, version=7, stream_id="1-0"))
        frames = await ws.receive_json()
        assert [frame["op"] for frame in frames["frames"]] == ["update"]
        assert (await get(http, bridge, since=frames["pos"])).status == 304
        answer = await body(await get(http, bridge, since=pos))
        assert [frame["op"] for frame in answer["frames"]] == ["update"]
        assert answer["pos"] == frames["pos"]


async def test_a_position_works_on_v1_events_and_comes_back_from_there(bridge, tier, http):
    pos = (await body(await get(http, bridge)))["pos"]
    headers = {"Last-Event-ID": pos}
    stream = SseClient(await http.post(bridge.base + "?v=1", json=QUERY, headers=headers))
    event = await stream.event()
    assert (event["event"], json.loads(event["data"])["resumed"]) == ("ready", "replay")
    the_call(tier).send(update("a", 0, version=7, stream_id="1-0"))
    event = await stream.event()
    assert event["event"] == "update"
    assert (await get(http, bridge, since=event["id"])).status == 304
    stream.close()


# ------------------------------------------------------------ long polling


async def test_a_wait_is_answered_at_the_next_group(bridge, tier, http):
    pos = (await body(await get(http, bridge)))["pos"]
    waiting = [
        asyncio.create_task(get(http, bridge, since=pos, wait="30")),
        asyncio.create_task(get(http, bridge, wait="30", headers={"If-None-Match": f'W/"{pos}"'})),
        asyncio.create_task(
            http.post(bridge.base + "/window?wait=30", json={"query": QUERY, "since": pos})
        ),
    ]
    await until(lambda: bridge.context.stream_log.open["http", "window"] == 3)
    the_call(tier).send(leave("a", 0, stream_id="1-0"), enter("c", 1, stream_id="1-0"))
    by_since, by_tag, by_body = [
        await body(response) for response in await asyncio.gather(*waiting)
    ]
    assert [frame["op"] for frame in by_since["frames"]] == ["leave", "enter"]
    assert by_since["resumed"] == "replay"
    assert by_body == by_since
    assert [row["agg_id"] for row in by_tag["rows"]] == ["b", "c"]
    assert by_tag["pos"] == by_since["pos"]
    assert tier.opened == 1


async def test_a_wait_for_what_has_happened_already_does_not_wait(bridge, tier, http):
    pos = (await body(await get(http, bridge)))["pos"]
    the_call(tier).send(update("a", 0, version=7, stream_id="1-0"))
    await shows(http, bridge, ("a", 7), ("b", 1))
    async with patiently(10):
        assert (await body(await get(http, bridge, since=pos, wait="60")))["resumed"] == "replay"
        tags = {"If-None-Match": f'"{pos}"'}
        assert "rows" in await body(await get(http, bridge, wait="60", headers=tags))
        assert (await body(await get(http, bridge, since="x", wait="60")))["resumed"] == "snapshot"


async def test_a_wait_that_brings_nothing_is_304_when_its_time_is_over(bridge, http):
    pos = (await body(await get(http, bridge)))["pos"]
    loop = asyncio.get_running_loop()
    began = loop.time()
    response = await get(http, bridge, since=pos, wait="1")
    assert (response.status, response.headers["ETag"]) == (304, f'"{pos}"')
    assert loop.time() - began >= 0.99


@pytest.mark.parametrize(
    "wait", ["0", "61", "-1", "x", "", "1.5", "1e1", "٣", "0000000030000", "9" * 5000]
)
async def test_a_wait_out_of_range_is_400(bridge, http, wait):
    response = await get(http, bridge, since="x", wait=wait)
    assert (response.status, (await response.json(content_type=None))["field"]) == (400, "wait")


async def test_a_wait_for_what_follows_nothing_is_400(bridge, http):
    response = await get(http, bridge, wait="10")
    assert (response.status, (await response.json(content_type=None))["field"]) == (400, "wait")


async def test_long_polls_count_as_streams_and_free_their_place(start_bridge, tier, http):
    tier.rows = ["a"]
    bridge = await start_bridge(max_connections_per_ip="2", linger="5s")
    pos = (await body(await get(http, bridge)))["pos"]
    polls = [asyncio.create_task(get(http, bridge, since=pos, wait="60")) for _ in range(2)]
    await until(lambda: bridge.context.stream_log.open["http", "window"] == 2)
    refused = await get(http, bridge)
    assert (refused.status, refused.headers["Retry-After"]) == (429, "5")
    stream = await http.post(bridge.base, json=QUERY)
    assert stream.status == 429
    for poll in polls:
        poll.cancel()
    await asyncio.gather(*polls, return_exceptions=True)
    await until(lambda: bridge.context.stream_log.open["http", "window"] == 0)
    assert (await get(http, bridge)).status == 200


async def test_a_drain_answers_a_long_poll_before_the_process_ends(bridge, http):
    pos = (await body(await get(http, bridge)))["pos"]
    poll = asyncio.create_task(get(http, bridge, since=pos, wait="60"))
    await until(lambda: bridge.context.stream_log.open["http", "window"] == 1)
    await bridge.drain()
    response = await poll
    assert response.status == 503
    assert 1 <= int(response.headers["Retry-After"]) <= 5
    assert (await response.json(content_type=None))["code"] == "UNAVAILABLE"
    late = await get(http, bridge)
    assert (late.status, "Retry-After" in late.headers) == (503, True)


async def test_a_long_poll_fails_with_its_tier(bridge, tier, http):
    pos = (await body(await get(http, bridge)))["pos"]
    poll = asyncio.create_task(get(http, bridge, since=pos, wait="60"))
    await until(lambda: bridge.context.stream_log.open["http", "window"] == 1)
    the_call(tier).fail(grpc.StatusCode.PERMISSION_DENIED, field="entity")
    response = await poll
    assert response.status == 403


# ------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("text", "status", "field"),
    [
        ("", 400, "query"),
        ("[", 400, "query"),
        ("[]", 400, "query"),
        ("{}", 400, "entity"),
        ('{"query":null}', 400, "query"),
        ('{"query":[]}', 400, "query"),
        ('{"query":{"entity":"f"}}', 400, "limit"),
        ('{"query":{"entity":"f","limit":1},"since":7}', 400, "since"),
        ('{"query":{"entity":"f","limit":1},"known":7}', 400, "known"),
        ('{"query":{"entity":"f","limit":1},"known":[["a",1],[2]]}', 400, "known[1]"),
        ('{"entity":"f","limit":1001,"query":1}', 400, "limit"),
        ('{"entity":"f","limit":1,"x":"%s"}' % ("x" * 16400), 413, "query"),
        ('{"query":{"entity":"f","limit":1,"x":"%s"}}' % ("x" * 16400), 413, "query"),
        ("x" * 70_000, 413, "query"),
    ],
)  # fmt: skip
async def test_a_wrong_body_is_refused_with_its_field(bridge, tier, http, text, status, field):
    async with http.post(bridge.base + "/window", data=text) as response:
        problem = await response.json(content_type=None)
        assert response.content_type == "application/problem+json"
    assert (problem["status"], problem["field"]) == (status, field)
    assert tier.opened == 0


async def test_a_thousand_known_rows_fit_beside_the_query(bridge, http):
    wrapped = {"query": QUERY, "known": [[f"{n:032x}", n] for n in range(1000)]}
    async with http.post(bridge.base + "/window", json=wrapped) as response:
        answer = await body(response)
    assert len(answer["frames"]) == 1002


async def test_without_a_query_it_is_400(bridge, http):
    async with http.get(bridge.base + "/window") as response:
        assert (response.status, (await response.json(content_type=None))["field"]) == (
            400,
            "query",
        )


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, 400),
        (grpc.StatusCode.UNAUTHENTICATED, 401),
        (grpc.StatusCode.NOT_FOUND, 404),
        (grpc.StatusCode.UNIMPLEMENTED, 501),
    ],
)
async def test_what_the_tier_refuses_is_refused(start_bridge, tier, http, code, status):
    bridge = await start_bridge()
    asking = asyncio.create_task(get(http, bridge))
    (await tier.next_call()).fail(code, field="entity")
    problem = json.loads(await (await asking).read())
    assert (problem["status"], problem["field"]) == (status, "entity")


async def test_a_tier_that_ends_the_stream_before_the_window_is_whole_is_503(
    start_bridge, tier, http
):
    bridge = await start_bridge()
    asking = asyncio.create_task(get(http, bridge))
    call = await tier.next_call()
    call.start()
    call.send(reset(), enter("a", 0))
    call.end()
    assert (await asking).status == 503


async def test_a_cookie_needs_json_and_an_own_page(bridge, http):
    cookie = {"Cookie": "session=1"}
    async with http.post(
        bridge.base + "/window", data=json.dumps(QUERY), headers=cookie
    ) as response:
        assert response.status == 400
    async with http.post(bridge.base + "/window", json=QUERY, headers=cookie) as response:
        assert response.status == 200
    foreign = cookie | {"Sec-Fetch-Site": "cross-site"}
    assert (await get(http, bridge, headers=foreign)).status == 403
    assert (await get(http, bridge, headers={"Origin": "https://evil.example"})).status == 403


async def test_two_scopes_never_share_a_window(start_bridge, tier, http):
    tier.rows = ["a"]
    bridge = await start_bridge(linger="5s")
    one = await body(await get(http, bridge, headers={"Authorization": "Bearer one"}))
    two = await get(http, bridge, since=one["pos"], headers={"Authorization": "Bearer two"})
    assert (await body(two))["resumed"] == "snapshot"
    assert tier.opened == 2


async def test_a_preflight_allows_query_and_the_entity_tag_is_exposed(start_bridge, tier, http):
    tier.rows = ["a"]
    bridge = await start_bridge(allowed_origins="https://app.example")
    origin = {"Origin": "https://app.example"}
    asked = {"Access-Control-Request-Method": "QUERY"}
    asked["Access-Control-Request-Headers"] = "if-none-match"
    for path in ("/window", "/schema"):
        async with http.options(bridge.base + path, headers=origin | asked) as response:
            assert response.status == 204
            assert response.headers["Access-Control-Allow-Origin"] == "https://app.example"
            methods = response.headers["Access-Control-Allow-Methods"].split(", ")
            assert {"GET", "HEAD", "POST", "QUERY"} <= set(methods)
            names = response.headers["Access-Control-Allow-Headers"].split(", ")
            assert {"content-type", "if-none-match", "authorization"} <= set(names)
    answer = await get(http, bridge, headers=origin)
    exposed = answer.headers["Access-Control-Expose-Headers"].split(", ")
    assert {"ETag", "X-Request-Id", "Retry-After"} <= set(exposed)
