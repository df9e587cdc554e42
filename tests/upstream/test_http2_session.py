"""The session: calls, how they end, and a peer that may send anything."""

import asyncio
import contextlib
import logging

import pytest
from h2.errors import ErrorCodes
from h2_peer import ANSWER, PATH, Pair, drain, ok
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    GoAwayFrame,
    HeadersFrame,
    PriorityFrame,
    PushPromiseFrame,
    RstStreamFrame,
    WindowUpdateFrame,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.core.errors import StatusSource
from bridge.upstream.http2.call import MAX_READS_IN_A_ROW, CallEnded
from bridge.upstream.http2.request import RequestForm
from bridge.upstream.http2.stream_buffer import MAX_MESSAGE, WINDOW, frame_message


async def ended(call):
    with pytest.raises(CallEnded) as told:
        await drain(call)
    return told.value.status


async def test_a_request_is_sent_as_grpc_sends_it_and_its_messages_arrive_in_order():
    pair = Pair()
    call, stream = pair.call(b"question", (("x-a", "1"), ("x-raw-bin", b"\xff\x00")))
    assert pair.requests[stream] == {
        ":method": "POST",
        ":scheme": "http",
        ":path": PATH,
        ":authority": "tier:1",
        "te": "trailers",
        "content-type": "application/grpc",
        "user-agent": pair.requests[stream]["user-agent"],
        "grpc-accept-encoding": "identity",
        "x-a": "1",
        "x-raw-bin": "/wA",
    }
    asked = b"".join(e.data for e in pair.events if type(e).__name__ == "DataReceived")
    assert asked == frame_message(b"question")
    pair.server.send_headers(stream, ANSWER)
    pair.say(stream, b"one", b"", b"three")
    pair.end(stream)
    assert await drain(call) == [b"one", b"", b"three"]
    assert await call.read() is None


async def test_reading_a_buffered_message_does_not_suspend_but_lets_other_tasks_run_now_and_then():
    pair = Pair()
    call, stream = pair.answered()
    pair.say(stream, *([b"x"] * 3 * MAX_READS_IN_A_ROW))
    turns = []
    asyncio.get_running_loop().call_soon(turns.append, 1)
    for _ in range(MAX_READS_IN_A_ROW - 1):
        await call.read()
    assert not turns
    await call.read()
    assert turns


async def test_a_waiting_reader_is_woken_and_a_cancelled_one_loses_no_message():
    pair = Pair()
    call, stream = pair.answered()
    reading = asyncio.create_task(call.read())
    await asyncio.sleep(0)
    pair.say(stream, b"a")
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert await call.read() == b"a"
    reading = asyncio.create_task(call.read())
    await asyncio.sleep(0)
    pair.say(stream, b"b")
    assert await reading == b"b"


async def test_cancelling_resets_the_stream_and_frames_that_cross_it_are_ignored():
    pair = Pair()
    call, stream = pair.answered()
    other, second = pair.answered()
    call.cancel()
    call.cancel()
    # The peer has not read it yet.
    pair.server.send_data(stream, frame_message(b"late"))
    pair.server.send_headers(stream, ok(), end_stream=True)
    pair.session.receive_data(pair.server.data_to_send())
    assert pair.resets(stream) == []  # it had ended when the reset came
    pair.say(second, b"still")
    assert await other.read() == b"still"
    assert pair.session.open_calls == 1
    third, stream = pair.answered()
    third.cancel()
    assert pair.resets(stream) == [ErrorCodes.CANCEL]
    assert (await ended(third)).code == "CANCELLED"


async def test_a_handler_gets_each_message_as_it_arrives_until_the_call_ends():
    pair = Pair()
    call, stream = pair.answered()
    pair.say(stream, b"already", b"here")
    taken = []
    following = asyncio.create_task(call.follow(taken.append))
    await asyncio.sleep(0)
    assert taken == [b"already", b"here"]
    pair.say(stream, b"one", b"", b"three")
    assert taken[2:] == [b"one", b"", b"three"], "without a turn of the loop between"
    pair.end(stream)
    await following
    again = []
    await call.follow(again.append)
    assert not again


async def test_a_handler_gets_the_messages_before_an_error():
    pair = Pair()
    call, stream = pair.answered()
    pair.say(stream, b"before")
    pair.end(stream, ("grpc-status", "14"))
    taken = []
    with pytest.raises(CallEnded) as told:
        await call.follow(taken.append)
    assert (taken, told.value.status.code) == ([b"before"], "UNAVAILABLE")


async def test_what_a_handler_raises_ends_the_delivery_and_no_message_is_lost():
    pair = Pair()
    call, stream = pair.answered()
    taken = []

    def take(message):
        taken.append(message)
        if message == b"bad":
            raise ValueError("bad")

    following = asyncio.create_task(call.follow(take))
    await asyncio.sleep(0)
    pair.say(stream, b"good", b"bad", b"next")
    pair.say(stream, b"last")
    with pytest.raises(ValueError, match="bad"):
        await following
    assert taken == [b"good", b"bad"]
    assert [await call.read(), await call.read()] == [b"next", b"last"]
    other, second = pair.answered()
    pair.say(second, b"fine")
    assert await other.read() == b"fine"


async def test_after_cancelling_a_handler_gets_no_more_messages():
    pair = Pair()
    call, stream = pair.answered()
    taken = []
    following = asyncio.create_task(call.follow(taken.append))
    await asyncio.sleep(0)
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following
    pair.say(stream, b"kept")
    assert not taken
    assert await call.read() == b"kept"


async def test_a_handler_may_cancel_its_call():
    pair = Pair()
    call, stream = pair.answered()
    taken = []

    def take(message):
        taken.append(message)
        call.cancel()

    following = asyncio.create_task(call.follow(take))
    await asyncio.sleep(0)
    pair.say(stream, b"one", b"two")
    with pytest.raises(CallEnded):
        await following
    assert taken == [b"one"]
    assert pair.resets(stream) == [ErrorCodes.CANCEL]


async def test_window_is_granted_for_what_a_handler_gets():
    pair = Pair()
    call, stream = pair.answered()
    taken = []
    following = asyncio.create_task(call.follow(taken.append))
    await asyncio.sleep(0)
    for _ in range(20):
        pair.say(stream, b"x" * 10_000)
    assert len(taken) == 20
    following.cancel()


# ------------------------------------------------------------------ how a call ends

TOLD = [
    ([("grpc-status", "5"), ("grpc-message", "no%20such%0Aday%20%C3%A9")], "NOT_FOUND", "no such\nday é", b""),
    ([("grpc-status", "8"), ("grpc-status-details-bin", "CAgSAXg")], "RESOURCE_EXHAUSTED", "", b"\x08\x08\x12\x01x"),
    ([("grpc-status", "8"), ("grpc-status-details-bin", "CAgSAXg=")], "RESOURCE_EXHAUSTED", "", b"\x08\x08\x12\x01x"),
    ([("grpc-status", "8"), ("grpc-status-details-bin", "?")], "RESOURCE_EXHAUSTED", "", b""),
    ([("grpc-status", "99")], "UNKNOWN", "", b""),
    ([("grpc-status", "minus one")], "UNKNOWN", "", b""),
    ([("x-other", "1")], "UNKNOWN", "the peer ended the stream without a status", b""),
]  # fmt: skip


@pytest.mark.parametrize(("trailers", "code", "text", "details"), TOLD)
async def test_trailers_are_the_status(trailers, code, text, details):
    pair = Pair()
    call, stream = pair.answered()
    pair.say(stream, b"before")
    pair.end(stream, *trailers)
    assert await call.read() == b"before"
    status = await ended(call)
    assert (status.code, status.text, status.details) == (code, text, details)
    said = StatusSource.TIER if trailers[0][0] == "grpc-status" else StatusSource.STREAM
    assert status.source is said
    only, stream = pair.call()
    pair.end(stream, *ANSWER, *trailers)  # trailers alone
    assert (await ended(only)).code == code


async def test_a_stream_that_ends_with_data_and_no_trailers_is_unknown():
    pair = Pair()
    call, stream = pair.answered()
    pair.server.send_data(stream, frame_message(b"last"), end_stream=True)
    pair.session.receive_data(pair.server.data_to_send())
    assert await call.read() == b"last"
    status = await ended(call)
    assert (status.code, status.source) == ("UNKNOWN", StatusSource.STREAM)
    assert pair.session.open_calls == 0
    other, stream = pair.answered()
    pair.say(stream, b"fine")
    assert await other.read() == b"fine"


async def test_a_correct_content_length_is_accepted():
    pair = Pair()
    call, stream = pair.call()
    pair.server.send_headers(stream, [*ANSWER, ("content-length", "8")])
    pair.server.send_data(stream, frame_message(b"abc"))
    pair.end(stream)
    assert await drain(call) == [b"abc"]


HTTP = {400: "INTERNAL", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "UNIMPLEMENTED"}
HTTP |= dict.fromkeys((429, 502, 503, 504), "UNAVAILABLE") | {500: "UNKNOWN", 302: "UNKNOWN"}


@pytest.mark.parametrize(("http", "code"), HTTP.items())
async def test_a_response_that_is_not_grpc_ends_the_call_by_its_http_status(http, code):
    pair = Pair()
    call, stream = pair.call()
    pair.server.send_headers(stream, [(":status", str(http)), ("content-type", "text/html")])
    pair.server.send_data(stream, b"<html>sorry</html>", end_stream=True)
    pair.pump()
    status = await ended(call)
    assert (status.code, status.source) == (code, StatusSource.RESPONSE)
    only, stream = pair.call()
    pair.end(stream, (":status", str(http)))
    assert (await ended(only)).source is StatusSource.RESPONSE
    other, stream = pair.answered()
    pair.say(stream, b"fine")
    assert await other.read() == b"fine"


async def test_html_with_status_200_is_unknown():
    pair = Pair()
    call, stream = pair.call()
    pair.server.send_headers(stream, [(":status", "200"), ("content-type", "text/html")])
    pair.pump()
    status = await ended(call)
    assert (status.code, status.source) == ("UNKNOWN", StatusSource.RESPONSE)
    assert pair.resets(stream) == [ErrorCodes.CANCEL]


RESETS = {
    ErrorCodes.NO_ERROR: "INTERNAL",
    ErrorCodes.PROTOCOL_ERROR: "INTERNAL",
    ErrorCodes.REFUSED_STREAM: "UNAVAILABLE",
    ErrorCodes.CANCEL: "CANCELLED",
    ErrorCodes.ENHANCE_YOUR_CALM: "RESOURCE_EXHAUSTED",
    ErrorCodes.INADEQUATE_SECURITY: "PERMISSION_DENIED",
    ErrorCodes.STREAM_CLOSED: "UNKNOWN",
    99: "UNKNOWN",
}


@pytest.mark.parametrize(("error", "code"), RESETS.items())
async def test_a_reset_is_translated_after_the_messages_before_it(error, code):
    pair = Pair()
    call, stream = pair.answered()
    pair.say(stream, b"before")
    pair.server.reset_stream(stream, error)
    pair.pump()
    assert await call.read() == b"before"
    status = await ended(call)
    assert (status.code, status.source) == (code, StatusSource.STREAM)


async def test_early_hints_are_ignored_and_continuation_frames_are_joined():
    pair = Pair()
    call, stream = pair.call()
    pair.server.send_headers(stream, [(":status", "103")])
    pair.pump()
    block = pair.server.encoder.encode([*ANSWER, ("x-long", "y" * 400)])
    frames = [HeadersFrame(stream, block[:10])]
    frames += [ContinuationFrame(stream, block[at : at + 50]) for at in range(10, len(block), 50)]
    frames[-1].flags.add("END_HEADERS")
    for frame in frames:
        pair.raw(frame)
    pair.session.receive_data(
        b"\x00\x00\x06\x00\x00" + stream.to_bytes(4, "big") + frame_message(b"m")
    )
    assert await call.read() == b"m"


# ------------------------------------------------------------------ requests and windows


async def test_a_request_waits_for_the_peers_window():
    pair = Pair(INITIAL_WINDOW_SIZE=10)
    call, stream = pair.call(b"x" * 1000)
    got = lambda: sum(len(e.data) for e in pair.events if type(e).__name__ == "DataReceived")  # noqa: E731
    assert got() == 10
    pair.server.increment_flow_control_window(500, stream)
    pair.pump()
    assert got() == 510
    pair.server.update_settings({4: 5000})
    pair.pump()
    assert got() == 1005
    pair.server.send_headers(stream, ANSWER)
    pair.say(stream, b"m")
    assert await call.read() == b"m"


async def test_a_response_before_the_whole_request_was_sent_ends_both():
    pair = Pair(INITIAL_WINDOW_SIZE=10)
    call, stream = pair.call(b"x" * 1000)
    pair.end(stream, *ANSWER, ("grpc-status", "3"))
    assert (await ended(call)).code == "INVALID_ARGUMENT"
    assert pair.session.open_calls == 0
    assert not pair.session._requests._unsent


OPEN = RequestForm("application/grpc+bytes", more_follow=True)


def open_call(pair, message=b"one"):
    call = pair.session.start_call(PATH, message, (), OPEN)
    pair.pump()
    stream = pair.server.highest_inbound_stream_id
    pair.server.send_headers(stream, ANSWER)
    pair.pump()
    return call, stream


def asked(pair):
    return b"".join(e.data for e in pair.events if type(e).__name__ == "DataReceived")


async def test_a_request_that_is_open_takes_more_messages_until_its_call_ends():
    pair = Pair()
    call, stream = open_call(pair)
    assert pair.requests[stream]["content-type"] == "application/grpc+bytes"
    pair.say(stream, b"answer")
    call.send(b"two")
    call.send(b"three")
    pair.pump()
    assert asked(pair) == b"".join(map(frame_message, (b"one", b"two", b"three")))
    assert not [e for e in pair.events if type(e).__name__ == "StreamEnded"]
    pair.end(stream)
    assert await drain(call) == [b"answer"]
    assert pair.resets(stream) == [ErrorCodes.NO_ERROR]
    call.send(b"late")
    pair.pump()
    assert asked(pair).endswith(b"three")
    assert pair.session.closed is None


async def test_messages_of_an_open_request_wait_for_the_peers_window_in_their_order():
    pair = Pair(INITIAL_WINDOW_SIZE=10)
    call, stream = open_call(pair, b"x" * 20)
    call.send(b"two")
    pair.pump()
    assert len(asked(pair)) == 10
    pair.server.increment_flow_control_window(12, stream)
    pair.pump()
    assert len(asked(pair)) == 22
    pair.server.increment_flow_control_window(100, stream)
    pair.pump()
    assert asked(pair) == frame_message(b"x" * 20) + frame_message(b"two")


async def test_a_message_after_the_only_one_of_a_request_is_not_sent():
    pair = Pair()
    call, _ = pair.answered()
    call.send(b"more")
    pair.pump()
    assert asked(pair) == frame_message(b"ask")


async def test_cancelling_an_open_request_resets_it_and_sends_nothing_more():
    pair = Pair()
    call, stream = open_call(pair)
    call.cancel()
    call.send(b"late")
    assert pair.resets(stream) == [ErrorCodes.CANCEL]
    assert asked(pair) == frame_message(b"one")
    assert pair.session.closed is None


async def test_the_peers_window_stays_closed_until_messages_are_read():
    pair = Pair()
    call, stream = pair.answered()
    message = bytes(1019)
    for _ in range(WINDOW // 1024):
        pair.say(stream, message)
    assert pair.server.local_flow_control_window(stream) == 0
    for _ in range(WINDOW // 1024):
        await call.read()
    pair.pump()
    assert pair.server.local_flow_control_window(stream) == WINDOW


async def test_a_message_of_4_mib_passes_and_one_octet_more_does_not():
    pair = Pair()
    call, stream = pair.answered()
    other, second = pair.answered()

    def send(wire):
        while wire and stream in pair.server.streams:
            size = min(pair.server.local_flow_control_window(stream), 16_384, len(wire))
            if not size:
                return wire
            pair.server.send_data(stream, wire[:size])
            wire = wire[size:]
            pair.pump()
        return wire

    assert send(frame_message(bytes(MAX_MESSAGE))) == b""
    assert len(await call.read()) == MAX_MESSAGE
    pair.pump()
    pair.server.send_data(stream, frame_message(bytes(MAX_MESSAGE + 1))[:1000])
    pair.pump()
    assert (await ended(call)).code == "RESOURCE_EXHAUSTED"
    assert pair.resets(stream) == [ErrorCodes.CANCEL]
    pair.say(second, b"untouched")
    assert await other.read() == b"untouched"


async def test_more_metadata_than_the_peer_accepts_is_not_sent():
    pair = Pair(MAX_HEADER_LIST_SIZE=600)
    with pytest.raises(CallEnded) as told:
        pair.session.start_call(PATH, b"", (("x-a", "y" * 600),))
    assert told.value.status.code == "RESOURCE_EXHAUSTED"
    assert not pair.session.open_calls


BIG = 64 * 1024
"""Bytes of the largest header list; each header counts 32 more than its characters."""


def filling(size):
    """Return headers that count so many bytes. Short ones: h2's encoder is slow with long ones."""
    full, rest = divmod(size, 4_000)
    sizes = [*[4_000] * (full - 1), 4_000 + rest]
    return [("x", "y" * (size - 33)) for size in sizes]


@pytest.mark.parametrize("size", [BIG, BIG + 1, 70_000, 200_000, 900_000])
@pytest.mark.parametrize("what", ["headers", "trailers", "trailers only"])
async def test_headers_over_64_kib_end_their_call_and_no_other(what, size, caplog):
    pair = Pair()
    other, second = pair.answered()
    call, stream = pair.call()
    small = {"headers": ANSWER, "trailers": ok(), "trailers only": [*ANSWER, *ok()]}[what]
    big = [*small, *filling(size - sum(len(name) + len(value) + 32 for name, value in small))]
    if what == "headers":
        pair.server.send_headers(stream, big)
        pair.pump()
    elif what == "trailers":
        pair.server.send_headers(stream, ANSWER)
        pair.say(stream, b"before")
        pair.end(stream, *big)
        assert await call.read() == b"before"
    else:
        pair.end(stream, *big)
    if size > BIG:
        assert (await ended(call)).code == "INTERNAL"
        (record,) = caplog.records
        assert f"of {size} bytes" in record.getMessage()
        assert pair.resets(stream) == ([ErrorCodes.CANCEL] if what == "headers" else [])
    elif what == "headers":
        pair.say(stream, b"fine")
        assert await call.read() == b"fine"
    else:
        assert await drain(call) == []
    for _ in range(2):
        pair.say(second, b"untouched")
        assert await other.read() == b"untouched"
        other, second = pair.call()
        pair.server.send_headers(second, [*ANSWER, ("x-new", "names are still compressed")])
    assert not pair.closings


async def test_headers_beyond_what_is_decoded_end_the_connection():
    pair = Pair()
    call, stream = pair.call()
    pair.server.send_headers(stream, [*ANSWER, *([("x", "y" * 3_000)] * 400)])
    pair.pump()
    assert (await ended(call)).code == "UNAVAILABLE"
    assert pair.closings == 1


async def test_a_connection_out_of_stream_numbers_takes_no_more_calls_and_keeps_its_own():
    pair = Pair()
    call, stream = pair.answered()
    pair.session._engine.highest_outbound_stream_id = 2**31 - 1
    with pytest.raises(CallEnded) as told:
        pair.session.start_call(PATH, b"", ())
    assert told.value.status.code == "UNAVAILABLE"
    assert pair.session.going_away
    pair.say(stream, b"x")
    assert await call.read() == b"x"


async def test_the_peers_limit_of_concurrent_calls_is_known():
    assert Pair(MAX_CONCURRENT_STREAMS=7).session.max_calls == 7
    assert Pair(settings_sent=False).session.max_calls > 1_000_000


# ------------------------------------------------------------------ how a connection ends


async def test_goaway_lets_the_calls_it_includes_go_on_and_fails_the_others(caplog):
    pair = Pair()
    first, one = pair.answered()
    second, _ = pair.answered()
    pair.raw(GoAwayFrame(0, last_stream_id=one))
    assert (await ended(second)).code == "UNAVAILABLE"
    assert pair.session.going_away
    with pytest.raises(CallEnded):
        pair.session.start_call(PATH, b"", ())
    pair.say(one, b"still here")
    assert await first.read() == b"still here"
    assert not pair.closings
    pair.end(one)
    assert await drain(first) == []
    assert pair.closings == 1
    assert not caplog.records


async def test_a_graceful_goaway_comes_in_two_steps():
    pair = Pair()
    first, one = pair.answered()
    pair.raw(GoAwayFrame(0, last_stream_id=2**31 - 1))
    pair.raw(GoAwayFrame(0, last_stream_id=one))
    pair.server.ping(b"12345678")
    pair.say(one, b"x")
    assert await first.read() == b"x"
    first.cancel()
    assert pair.closings == 1


async def test_closing_the_session_fails_every_call_once():
    pair = Pair()
    calls = [pair.answered()[0] for _ in range(3)]
    pair.session.close("lost")
    pair.session.close("again")
    for call in calls:
        status = await ended(call)
        assert (status.code, status.source) == ("UNAVAILABLE", StatusSource.CONNECTION)
    assert pair.closings == 1
    for call in calls:
        call.cancel()


VIOLATIONS = {
    "http1": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "zero": bytes(9 + 16),
    "huge frame": b"\xff\xff\xff\x00\x00\x00\x00\x00\x01",
    "headers of no stream": b"\x00\x00\x01\x01\x05\x00\x00\x00\x63\x88",
    "bad hpack": b"\x00\x00\x02\x01\x05\x00\x00\x00\x01\xff\xff",
    "ping too short": b"\x00\x00\x01\x06\x00\x00\x00\x00\x00x",
    "goaway too short": b"\x00\x00\x01\x07\x00\x00\x00\x00\x00x",
    "window of 0": b"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00",
    "bad setting": b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x01",
    "naked continuation": b"\x00\x00\x01\x09\x04\x00\x00\x00\x01\x88",
    "push": PushPromiseFrame(1, 2, b"\x82", flags=["END_HEADERS"]).serialize(),
    "window overflow": b"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x7f\xff\xff\xff",
}


@pytest.mark.parametrize("name", VIOLATIONS)
async def test_a_protocol_violation_closes_the_connection_without_a_traceback(name, caplog):
    caplog.set_level(logging.DEBUG)
    pair = Pair()
    call, _ = pair.answered()
    pair.to_server.clear()
    pair.session.receive_data(VIOLATIONS[name])
    if name == "zero":  # settings of nothing, data of stream 0: harmless
        assert not pair.closings
        return
    assert (await ended(call)).code == "UNAVAILABLE"
    assert pair.closings == 1
    assert b"\x00\x00\x08\x07\x00" in b"".join(pair.to_server)  # GOAWAY
    assert not [record for record in caplog.records if record.exc_info]
    told = len(caplog.records)
    pair.session.receive_data(VIOLATIONS[name])
    assert len(caplog.records) == told, "once"


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_bytes_make_the_session_raise_and_every_call_ends_or_goes_on(data):
    async def run():
        pair = Pair()
        call, stream = pair.answered()
        pair.server.send_data(stream, frame_message(b"abc"))
        pair.server.send_headers(stream, ok(), end_stream=True)
        pair.server.ping(b"12345678")
        wire = bytearray(pair.server.data_to_send())
        for _ in range(data.draw(st.integers(0, 4))):
            wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
        wire += data.draw(st.binary(max_size=60))
        pair.session.receive_data(bytes(wire))
        pair.session.close("done")
        with contextlib.suppress(CallEnded):
            await drain(call)
        assert not pair.session.open_calls

    asyncio.run(run())


@pytest.mark.parametrize("cleaned", [False, True])
@pytest.mark.parametrize("cancelled", [False, True])
async def test_frames_after_a_streams_end_harm_no_other_stream(cancelled, cleaned):
    pair = Pair()
    call, stream = pair.answered()
    other, second = pair.answered()
    if cancelled:
        call.cancel()
    else:
        pair.end(stream)
    if cleaned:  # h2 forgets closed streams when a call begins
        pair.answered()
    number = stream.to_bytes(4, "big")
    pair.raw(RstStreamFrame(stream, 0), WindowUpdateFrame(stream, 1000), RstStreamFrame(stream, 8))
    pair.raw(DataFrame(stream, frame_message(b"late")), PriorityFrame(stream, depends_on=0))
    pair.raw(b"\x00\x00\x03\xfb\x00" + number + b"new")  # a type of frame nobody knows
    if cancelled:
        pair.raw(HeadersFrame(stream, b"\x88", flags=["END_HEADERS"]))
        pair.raw(HeadersFrame(stream, b"\x88", flags=["END_HEADERS", "END_STREAM"]))
    assert not pair.closings
    pair.server.send_data(second, frame_message(b"untouched"))
    pair.session.receive_data(pair.server.data_to_send())
    assert await other.read() == b"untouched"
