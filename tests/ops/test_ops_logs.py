"""What is logged: a line per stream, no secrets, no forged lines."""

import asyncio
import io
import json
import logging
import sys

import grpc
import pytest
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH

from bridge.telemetry.limited_handler import LimitedHandler
from bridge.telemetry.logs import JsonFormatter, TextFormatter, redact, set_up_logging
from clients import QUERY, SseClient
from patience import patient


def record(message, *arguments, fields=None, error=None):
    made = logging.LogRecord("bridge.x", logging.INFO, "", 0, message, arguments, error)
    if fields:
        made.fields = fields
    return made


def broken(text):
    try:
        raise ValueError(text)
    except ValueError:
        return sys.exc_info()


FORGERIES = ["a\nb", "a\r\nb", "a\x00b", "a\x1b[2Jb", "a\u2028b", "a\x85b", "a\u202eb", "a\x7fb"]


@pytest.mark.parametrize("text", FORGERIES)
def test_foreign_text_never_starts_a_line(text):
    made = record("told %s", text, fields={"entity": text})
    for form in (TextFormatter(), JsonFormatter()):
        line = form.format(made)
        assert len(line.splitlines()) == 1
        assert line.isprintable()
    assert json.loads(JsonFormatter().format(made))["entity"] == text


def test_a_message_within_a_traceback_can_not_pass_for_a_line():
    made = record(
        "failed", error=broken("x\n2026-01-01 00:00:00,000 INFO    bridge.app: all is well")
    )
    first, *rest = TextFormatter().format(made).split("\n")
    assert first.endswith("failed")
    assert all(line.startswith("    ") for line in rest)
    assert len(JsonFormatter().format(made).splitlines()) == 1


SECRETS = [
    "GET /api/v1/live?query=x&ticket=SECRET&soft=1",
    "GET /api/v1/live?TOKEN=SECRET",
    "ws://h/api/v1/live/ws?access_token=SECRET HTTP/1.1",
    "Authorization: Bearer SECRET",
    "('authorization', 'Bearer SECRET')",
    "{'Authorization': 'Basic SECRET=='}",
    "Authorization: SECRET",
    'said {"action":"authenticate","token":"SECRET"}',
    '"{\\"token\\": \\"SECRET\\"}"',
]


@pytest.mark.parametrize("text", SECRETS)
def test_credentials_and_tickets_are_redacted_wherever_they_are(text):
    assert "SECRET" not in redact(text)
    made = record("%s", text, fields={"detail": text}, error=broken(text))
    for form in (TextFormatter(), JsonFormatter()):
        assert "SECRET" not in form.format(made)


@pytest.mark.parametrize(
    "text", ["a token of thanks", "ticket 7 closed", "bearer of news", "entity=flights"]
)
def test_words_that_only_sound_like_secrets_stay(text):
    assert redact(text) == text or text == "bearer of news"


def test_fields_are_members_in_json_and_quoted_where_they_must_be_in_text():
    made = record("stream ended", fields={"entity": 'x" reason=drained', "seconds": 1.5})
    assert json.loads(JsonFormatter("w1").format(made)) | {"time": ""} == {
        "time": "",
        "level": "info",
        "logger": "bridge.x",
        "message": "stream ended",
        "worker": "w1",
        "entity": 'x" reason=drained',
        "seconds": 1.5,
    }
    line = TextFormatter("w1").format(made)
    assert line.endswith('[w1] bridge.x: stream ended entity="x\\" reason=drained" seconds=1.5')


async def test_a_streams_end_is_one_line_with_the_clients_request_id(serve, http):
    program = await serve("--log-format", "json", "--log-level", "debug")
    url = await program.listening()
    base = url + "/api/v1/live"
    headers = {"X-Request-Id": "abc-123", "Authorization": "Bearer hush-hush"}
    response = await http.post(base + "?ticket=hush-hush", data=json.dumps(QUERY), headers=headers)
    assert response.headers["X-Request-Id"] == "abc-123"
    client = SseClient(response)
    await client.frames(3)
    client.close()
    line = json.loads(await program.says("stream ended"))
    assert line["seconds"] >= 0
    assert {
        key: line[key] for key in ("level", "request", "transport", "entity", "reason", "frames")
    } == {
        "level": "debug",
        "request": "abc-123",
        "transport": "sse/core",
        "entity": "flights",
        "reason": "client_gone",
        "frames": 3,
    }
    async with http.ws_connect(base + "/ws", protocols=["livequery.v1"], headers=headers) as ws:
        for sub in ("one", "two"):
            await ws.send_json({"action": "subscribe", "sub": sub, "query": QUERY})
        shown = set()
        while shown != {"one", "two"}:  # a stream that was never shown has no line
            message = json.loads((await ws.receive(timeout=patient(5))).data)
            if message["type"] == "ready":
                shown.add(message["sub"])
        await ws.send_json({"action": "authenticate", "token": "hush-hush"})
        await ws.send_json({"action": "unsubscribe", "sub": "one"})
        while json.loads((await ws.receive(timeout=patient(5))).data)["type"] != "ended":
            pass
    await program.says('"ws/v1"', count=2)
    lines = [json.loads(line) for line in program.err if '"ws/v1"' in line]
    assert [line["reason"] for line in lines] == ["unsubscribed", "client_gone"]
    await program.stop()
    assert not any("hush" in line for line in program.err)


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
async def test_a_forwarded_secret_is_in_no_line_of_any_level_in_clear_or_encoded(
    level, serve, http, tier
):
    forwarded = ("--forward-metadata", "authorization,x-api-key")
    program = await serve("--log-format", "json", "--log-level", level, *forwarded)
    url = await program.listening()
    sent = {"authorization": "Bearer hush-4711", "x-api-key": "hush-4712"}
    client = SseClient(await http.post(url + "/api/v1/live", data=json.dumps(QUERY), headers=sent))
    await client.frames(3)
    (call,) = tier.open.values()
    assert {name: call.metadata[name] for name in sent} == sent
    client.close()
    await program.stop()
    lines = [json.loads(line) for line in program.err]
    huffman = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH)
    for text in ("hush-47", *(repr(huffman.encode(v.encode()))[2:-1] for v in sent.values())):
        assert [line for line in lines if text in line["message"]] == []
    assert not any("hush-47" in line for line in program.err)
    loud = ("warning", "error", "critical")
    foreign = [line for line in lines if line["logger"].split(".")[0] not in ("bridge", "livetier")]
    assert [line for line in foreign if line["level"] not in loud] == []
    assert any(line["level"] == "debug" for line in lines) is (level == "debug")


async def test_a_credential_that_the_tier_quotes_is_in_no_line_and_in_no_answer(serve, http, tier):
    """A tier's own words for what it refuses may have all of it in them."""
    tier.rows = None
    options = ("--log-level", "debug", "--forward-metadata", "authorization,x-api-key")
    program = await serve(*options)
    url = (await program.listening()) + "/api/v1/live"
    sent = {"authorization": "Bearer hush-4711", "x-api-key": "hush-4712"}
    for more in ({}, {"localized": "no such key: hush-4712"}, {"field": "hush-4711"}):
        asking = asyncio.create_task(http.post(url, data=json.dumps(QUERY), headers=sent))
        call = await tier.next_call()
        call.fail(
            grpc.StatusCode.UNAUTHENTICATED, "the token hush-4711 of hush-4712 is bad", **more
        )
        async with await asking as answer:
            assert answer.status == 401
            assert "hush" not in await answer.text()
    await program.says("is bad")
    await program.stop()
    assert not any("hush" in line for line in program.err)


@pytest.mark.parametrize("asked", ["", "with space", "x" * 129, "ümlaut", "x\ty"])
async def test_a_request_id_that_is_no_visible_ascii_is_replaced(start_bridge, http, asked):
    bridge = await start_bridge()
    async with http.get(bridge.url + "/healthz", headers={"X-Request-Id": asked}) as response:
        given = response.headers["X-Request-Id"]
    assert given != asked
    assert len(given) == 16


async def test_every_kind_of_answer_carries_the_request_id(start_bridge, http):
    bridge = await start_bridge()
    headers = {"X-Request-Id": "x" * 128}
    for method, path in (("GET", "/healthz"), ("GET", "/nope"), ("POST", "/api/v1/live")):
        async with http.request(method, bridge.url + path, headers=headers) as response:
            assert response.headers["X-Request-Id"] == "x" * 128, path
    async with http.ws_connect(bridge.base + "/ws", headers=headers) as ws:
        assert ws._response.headers["X-Request-Id"] == "x" * 128


async def test_a_cut_stream_is_logged_at_info_and_a_normal_end_is_not(
    start_bridge, http, tier, caplog
):
    caplog.set_level(logging.INFO)
    bridge = await start_bridge(linger="0")
    tier.rows = None
    for end in ("close", "fail"):
        async with http.ws_connect(bridge.base + "/ws") as ws:
            await ws.send_json({"action": "subscribe", "query": QUERY})
            call = await tier.next_call()
            call.start()
            call.snapshot("a")
            await ws.receive(timeout=patient(5))
            if end == "fail":
                await ws.send_str("{")
                while (await ws.receive(timeout=patient(5))).data != 4500:
                    pass
    told = [r.fields["reason"] for r in caplog.records if r.name == "bridge.streams"]
    assert told == ["failed"]


def limited(stream, clock):
    handler = LimitedHandler(stream, clock)
    handler.setFormatter(logging.Formatter("%(name)s %(message)s"))
    return handler


def test_lines_of_a_kind_are_limited_counted_and_told_and_others_are_not():
    now, stream = 0.0, io.StringIO()
    handler = limited(stream, lambda: now)
    for number in range(1000):
        handler.handle(record("bad cookie %d", number))
        if number % 100 == 0:
            handler.handle(record("all is well %d", number))
    lines = stream.getvalue().splitlines()
    assert len([line for line in lines if "bad cookie" in line]) == 100
    assert len([line for line in lines if "all is well" in line]) == 10
    assert handler.suppressed == 900
    now = 1.0
    for number in range(20):
        handler.handle(record("bad cookie %d", number))
    assert handler.suppressed == 900 + 10, "10 came back in a second"
    assert "more lines" not in stream.getvalue(), "not with every line"
    now = 12.0
    handler.handle(record("all is well %d", 1))
    *_, told, line = stream.getvalue().splitlines()
    assert told == "bridge.x 910 more lines were left out, as: bad cookie %d"
    assert line == "bridge.x all is well 1"


def test_kinds_without_end_are_no_leak():
    stream = io.StringIO()
    handler = limited(stream, lambda: 0.0)
    for number in range(5000):
        handler.handle(record(f"text {number}"))
    assert len(stream.getvalue().splitlines()) == 5000
    assert len(handler._buckets) <= 256


def test_what_was_left_out_last_is_told_at_the_end():
    stream = io.StringIO()
    handler = limited(stream, lambda: 0.0)
    for number in range(150):
        handler.handle(record("x %d", number))
    handler.close()
    assert stream.getvalue().splitlines()[-1].startswith("bridge.x 50 more lines")


def test_a_long_text_of_a_client_is_clipped():
    made = record("told %s", "x" * 15_000, fields={"entity": "y" * 15_000, "frames": 10**300})
    text = TextFormatter().format(made)
    assert len(text) < 3_000
    assert "(15000 characters)" in text
    entry = json.loads(JsonFormatter().format(made))
    assert len(entry["entity"]) < 250
    assert len(entry["message"]) < 2_100


async def test_a_stream_of_an_entity_with_a_long_name_ends_in_a_short_line(serve, tier, http):
    program = await serve(
        "--stall-timeout", "100ms", "--log-format", "text", "--log-level", "debug"
    )
    url = await program.listening()
    query = QUERY | {"entity": "e" * 15_000}
    response = await http.post(url + "/api/v1/live", data=json.dumps(query))
    await SseClient(response).frame()
    response.close()
    line = await program.says("stream ended")
    assert len(line) < 500
    assert max(map(len, program.err)) < 2_500


@pytest.mark.parametrize("text", ["SSL connection is closed", "socket.send() raised exception."])
def test_writes_behind_the_end_of_a_connection_are_no_lines(capsys, monkeypatch, text):
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    set_up_logging(log_format="text", level="info")
    logging.getLogger("asyncio").warning(text)
    logging.getLogger("asyncio").warning("another")
    assert [line[-7:] for line in capsys.readouterr().err.splitlines()] == ["another"]
