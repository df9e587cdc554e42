"""Messages as they are read from a client's bytes."""

import struct

import pytest
from aiohttp import WSMsgType
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.shared_rate import SharedRate
from bridge.web.ws.message_reader import MAX_MESSAGE, MessageReader, count_frames
from raw_client import BINARY, CLOSE, PING, TEXT, message

PONG = 0x8A
KINDS = st.sampled_from([TEXT, BINARY, PING, PONG])
SENT = st.lists(st.tuples(KINDS, st.text(max_size=30)), max_size=8)
NAMES = {TEXT: WSMsgType.TEXT, BINARY: WSMsgType.BINARY, PING: WSMsgType.PING, PONG: WSMsgType.PONG}


def feed(reader, data, most=1_000_000):
    reader.append(data)
    return reader.read(most)


def masked(payload, first, key):
    plain = message(payload, first)
    at = len(plain) - len(payload)
    return plain[: at - 4] + key + bytes(b ^ key[i % 4] for i, b in enumerate(payload))


@given(SENT, st.binary(min_size=4, max_size=4), st.lists(st.integers(1, 40), max_size=20))
def test_messages_are_read_whole_and_in_order_however_their_bytes_are_cut(sent, key, cuts):
    data = b"".join(masked(text.encode()[:125], kind, key) for kind, text in sent)
    # Control frames carry at most 125 bytes; a text cut there may end in half a character.
    texts = [text.encode()[:125] for _, text in sent]
    expected = [
        (NAMES[kind], text.decode(errors="strict") if kind == TEXT else text)
        for (kind, _), text in zip(sent, texts, strict=True)
    ]
    reader, read = MessageReader(), []
    for size in [*cuts, len(data)]:
        read += feed(reader, data[:size])
        data = data[size:]
    assert reader.error_code is None
    assert [(one.type, one.data) for one in read] == expected
    reader.close()


FRAME = st.builds(
    lambda first, mask, length, rest: bytes([first, mask | length]) + rest,
    st.sampled_from([0x81, 0x81, 0x01, 0x80, 0x82, 0xC1, 0x88, 0x89]),
    st.sampled_from([0x80, 0x80, 0x80, 0]),
    st.sampled_from([0, 1, 5, 30, 125, 126, 127]),
    st.binary(max_size=300),
)


@given(st.one_of(st.lists(FRAME, max_size=3).map(b"".join), st.binary(max_size=40)))
def test_whole_text_messages_are_read_as_any_frame_is(data):
    def read(parts):
        reader, read = MessageReader(), []
        for part in parts:
            read += [(one.type, one.data) for one in feed(reader, part)]
        reader.close()
        return read, reader.error_code, bytes(reader._buffer)

    bytewise = [data[at : at + 1] for at in range(len(data))]  # none of them comes whole
    assert read([data]) == read(bytewise)


def test_a_ping_between_fragments_comes_first_and_the_message_is_whole():
    reader = MessageReader()
    parts = message("ä".encode()[:1], 0x01) + message(b"hi", PING) + message("ä".encode()[1:], 0x80)
    assert [one.data for one in feed(reader, parts)] == [b"hi", "ä"]
    reader.close()


def test_endless_empty_fragments_take_no_memory():
    reader = MessageReader()
    feed(reader, message(b"", 0x01))
    for _ in range(1000):
        assert feed(reader, message(b"", 0x00) * 10) == []
    assert len(reader._partial) == len(reader._buffer) == 0
    reader.close()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x81\x02{}", 1002),
        (message(b"\xff"), 1007),
        (
            message(b"x" * MAX_MESSAGE)
            + struct.pack(">BBQ", 0x81, 0xFF, MAX_MESSAGE + 1)
            + bytes(4),
            1009,
        ),
        (message(b"x", 0x01) + message(b"x", TEXT), 1002),
        (message(b"x", 0x80), 1002),
        (message(b"x" * MAX_MESSAGE, 0x01) + message(b"x", 0x80), 1009),
        (message(b"\x03\xed", CLOSE), 1002),
        (message(b"\x03\xe8\xff", CLOSE), 1007),
    ],
)
def test_what_is_wrong_has_its_close_code_and_nothing_is_read_after_it(data, code):
    reader = MessageReader()
    before = feed(reader, data)
    assert all(one.type is WSMsgType.TEXT for one in before)
    assert reader.error_code == code
    assert feed(reader, message(b"{}")) == []
    reader.close()


def test_control_frames_between_fragments_have_no_part_in_the_size_of_the_message():
    reader = MessageReader()
    feed(reader, message(b"x" * MAX_MESSAGE, 0x01))
    assert [one.data for one in feed(reader, message(b"x" * 125, PING))] == [b"x" * 125]
    [close] = feed(reader, message(b"", CLOSE))
    assert (close.type, reader.error_code) == (WSMsgType.CLOSE, None)
    reader.close()


def test_nothing_is_read_after_a_close_frame():
    reader = MessageReader()
    [close] = feed(reader, message(struct.pack(">H", 1000), CLOSE) + message(b"{}"))
    assert close.type is WSMsgType.CLOSE
    assert feed(reader, message(b"{}")) == []
    assert reader.error_code is None
    reader.close()


def test_no_more_frames_are_read_at_once_than_is_said_and_the_rest_later():
    reader = MessageReader()
    reader.append(message(b"{}") * 10 + message(b"", 0x01) * 1)
    read = []
    for expected, more in ((4, True), (4, True), (2, False)):
        messages = reader.read(4)
        read += messages
        assert (len(messages), reader.has_more) == (expected, more)
    assert reader.error_code is None
    reader.close()


def allowed(frames):
    return SharedRate(rate=1, burst=frames, clock=lambda: 0)


@pytest.mark.parametrize(
    "frame",
    [
        message(b"", PING),
        message(b"", PONG),
        message(b"{}"),
        message(b"", 0x01) + message(b"", 0x00) * 98 + message(b"{}", 0x80),
    ],
)
def test_frames_of_every_kind_count_against_the_allowance(frame):
    reader = MessageReader(allowed(100))
    count = 1 if len(frame) > 100 else 100
    read = feed(reader, frame * count)
    assert (len(read), reader.error_code) == (count, None)
    assert feed(reader, frame) == []
    assert reader.error_code == 1008
    assert feed(reader, message(b"{}")) == []
    reader.close()


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
def test_frames_that_have_come_are_counted_without_being_read(size):
    frames = message(b"x" * size) * 5
    assert count_frames(bytearray(frames), 1000) == 5
    assert count_frames(bytearray(frames), 3) == 3
    assert count_frames(bytearray(frames[:-1]), 1000) == 4
    for cut in (0, 1, 2, 5):
        assert count_frames(bytearray(message(b"x" * size)[:cut]), 1000) == 0


@given(
    st.lists(st.tuples(st.sampled_from([0, 1, 7, 125, 126, 300]), st.integers(1, 9)), max_size=9)
)
def test_runs_of_frames_of_one_size_are_counted_as_single_ones_are(runs):
    frames = [message(b"x" * size) for size, times in runs for _ in range(times)]
    whole = bytearray(b"".join(frames))
    for count in range(len(frames) + 1):
        end = sum(map(len, frames[:count]))
        assert count_frames(whole[:end], 1000) == count
        assert count_frames(whole[: max(end - 1, 0)], 1000) == max(count - 1, 0)
        assert count_frames(whole, count) == count


def test_a_flood_that_has_come_is_over_the_allowance_before_it_is_read():
    reader = MessageReader(allowed(100), 1000)
    reader.append(message(b"", PING) * 101)
    assert len(reader.read(4)) == 4
    assert (reader.error_code, reader.has_more) == (1008, False)
    other = MessageReader(allowed(100), 1000)
    other.append(message(b"", PING) * 100)
    assert len(other.read(4)) == 4
    assert (other.error_code, other.has_more) == (None, True)
