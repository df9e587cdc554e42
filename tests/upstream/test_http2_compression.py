"""Messages that a server compresses although only identity was offered."""

import asyncio
import struct
import tracemalloc
import zlib

import pytest
from h2.errors import ErrorCodes
from h2_peer import ANSWER, Pair
from upstream_tier import NOBODY, QUERY, read

from bridge.upstream.http2.call import CallEnded
from bridge.upstream.http2.stream_buffer import MAX_MESSAGE, WINDOW, frame_message
from patience import patiently
from scripted_tier import enter, reset

CODINGS = {"gzip": 31, "deflate": 15}


def squeeze(message, coding="gzip"):
    stream = zlib.compressobj(wbits=CODINGS[coding])
    return stream.compress(message) + stream.flush()


def flagged(body, flag=1):
    return struct.pack(">BI", flag, len(body)) + body


def answered(pair, *headers):
    """Begin a call whose answer names a coding; returns it and its stream."""
    call, stream = pair.call()
    pair.server.send_headers(stream, [*ANSWER, *headers])
    pair.pump()
    return call, stream


def send(pair, stream, *wire):
    data = b"".join(wire)
    for at in range(0, len(data), 16_384):
        pair.server.send_data(stream, data[at : at + 16_384])
        pair.pump()


async def refusal(reading):
    with pytest.raises(CallEnded) as told:
        async with patiently(5):
            await reading
    return told.value.status


@pytest.mark.parametrize("coding", CODINGS)
async def test_compressed_messages_are_read_in_order_with_those_in_clear(coding):
    pair = Pair()
    call, stream = answered(pair, ("grpc-encoding", coding))
    send(pair, stream, frame_message(b"one"), flagged(squeeze(b"two" * 999, coding)))
    assert [await call.read(), await call.read()] == [b"one", b"two" * 999]
    taken = []
    send(pair, stream, flagged(squeeze(b"three", coding)))
    following = asyncio.create_task(call.follow(taken.append))
    await asyncio.sleep(0)
    send(pair, stream, frame_message(b"four"), flagged(squeeze(b"", coding)))
    assert taken == [b"three", b"four", b""]
    pair.end(stream)
    await following


async def test_a_handler_from_before_the_response_gets_messages_decompressed():
    pair = Pair()
    call, stream = pair.call()
    taken = []
    following = asyncio.create_task(call.follow(taken.append))
    await asyncio.sleep(0)
    pair.server.send_headers(stream, [*ANSWER, ("grpc-encoding", "gzip")])
    send(pair, stream, flagged(squeeze(b"one")), frame_message(b"two"))
    assert taken == [b"one", b"two"]
    pair.end(stream)
    await following


async def test_a_message_of_4_mib_once_decompressed_passes_and_one_octet_more_does_not():
    pair = Pair()
    call, stream = answered(pair, ("grpc-encoding", "gzip"))
    send(pair, stream, flagged(squeeze(bytes(MAX_MESSAGE))))
    assert await call.read() == bytes(MAX_MESSAGE)
    send(pair, stream, flagged(squeeze(bytes(MAX_MESSAGE + 1))))
    status = await refusal(call.read())
    assert status.code == "RESOURCE_EXHAUSTED"
    assert "larger than max" in status.text


@pytest.mark.parametrize("coding", CODINGS)
async def test_a_bomb_is_too_large_and_is_not_expanded(coding):
    bomb = flagged(squeeze(bytes(48 * 1024 * 1024), coding))
    pair = Pair()
    call, stream = answered(pair, ("grpc-encoding", coding))
    other, second = pair.answered()
    send(pair, stream, bomb)
    tracemalloc.start()
    try:
        status = await refusal(call.follow(lambda _: None))
        assert tracemalloc.get_traced_memory()[1] < 3 * MAX_MESSAGE
    finally:
        tracemalloc.stop()
    assert status.code == "RESOURCE_EXHAUSTED"
    pair.say(second, b"untouched")
    assert await other.read() == b"untouched"


async def test_compressed_messages_use_the_window_as_they_are_on_the_wire():
    pair = Pair()
    call, stream = answered(pair, ("grpc-encoding", "gzip"))
    wire = flagged(squeeze(bytes(1024 * 1024)))
    for _ in range(3 * WINDOW // len(wire)):
        send(pair, stream, wire)
        await call.read()
    pair.pump()
    assert WINDOW // 2 <= pair.server.local_flow_control_window(stream) <= WINDOW


@pytest.mark.parametrize(
    "headers", [(("grpc-encoding", "br"),), (("grpc-encoding", "identity"),), ()]
)
async def test_an_unknown_coding_ends_its_call_and_is_one_line_for_all_calls(headers, caplog):
    pair = Pair()
    other, second = pair.answered()
    for _ in range(2):
        call, stream = answered(pair, *headers)
        send(pair, stream, frame_message(b"before"), flagged(b"abc"))
        assert await call.read() == b"before"
        status = await refusal(call.read())
        assert (status.code, pair.resets(stream)) == ("INTERNAL", [ErrorCodes.CANCEL])
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    named = headers[0][1] if headers else "identity"
    assert record.getMessage() == (
        f"tier tier:1: a call can't go on: a message compressed as {named!r}:"
        " only gzip and deflate can be read"
    )
    pair.say(second, b"untouched")
    assert await other.read() == b"untouched"


GARBAGE = {
    "none": b"abc",
    "empty": b"",
    "cut short": squeeze(b"x" * 99)[:-1],
    "more behind it": squeeze(b"x" * 99) + b"y",
    "of the other kind": squeeze(b"x", "deflate"),
}


@pytest.mark.parametrize("body", GARBAGE.values(), ids=GARBAGE)
async def test_what_can_not_be_decompressed_ends_the_call_even_if_it_has_ended_well(body):
    for ended in (False, True):
        pair = Pair()
        call, stream = answered(pair, ("grpc-encoding", "gzip"))
        send(pair, stream, flagged(body))
        if ended:
            pair.end(stream)
        taken = []
        assert (await refusal(call.follow(taken.append))).code == "INTERNAL"
        assert taken == []


async def test_a_flag_that_is_neither_0_nor_1_ends_the_call():
    pair = Pair()
    call, stream = answered(pair, ("grpc-encoding", "gzip"))
    send(pair, stream, flagged(squeeze(b"x"), flag=2))
    assert (await refusal(call.read())).code == "INTERNAL"


@pytest.mark.parametrize("algorithm", [1, 2], ids=["deflate", "gzip"])
async def test_a_server_with_a_default_compression_is_read(algorithm, replica, bridge_to, opened):
    tier = await replica(
        started=False, options=(("grpc.default_compression_algorithm", algorithm),)
    )
    _, backend = bridge_to(tier)
    opening = asyncio.create_task(backend.subscribe(QUERY, NOBODY))
    call = await tier.next_call()
    call.start(route=bytes(999))
    call.send(reset(), enter("a", 0, row=b'"' + b"x" * 9999 + b'"'), complete=True)
    opened.append(sub := await opening)
    assert sub.route == bytes(999)
    assert [delta.agg_id for delta in (await read(sub)).deltas] == ["", "a"]
