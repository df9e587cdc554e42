"""Messages as they are read from a client's bytes."""

import struct

import pytest
from aiohttp import WSMsgType
from hypothesis import given
from hypothesis import strategies as st

from bridge.web.ws.message_reader import MAX_MESSAGE, MessageReader
from raw_client import BINARY, CLOSE, PING, TEXT, message

PONG = 0x8A
KINDS = st.sampled_from([TEXT, BINARY, PING, PONG])
SENT = st.lists(st.tuples(KINDS, st.text(max_size=30)), max_size=8)
NAMES = {TEXT: WSMsgType.TEXT, BINARY: WSMsgType.BINARY, PING: WSMsgType.PING, PONG: WSMsgType.PONG}


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
        read += reader.feed(data[:size])
        data = data[size:]
    assert reader.error_code is None
    assert [(one.type, one.data) for one in read] == expected
    reader.close()


def test_a_ping_between_fragments_comes_first_and_the_message_is_whole():
    reader = MessageReader()
    parts = message("ä".encode()[:1], 0x01) + message(b"hi", PING) + message("ä".encode()[1:], 0x80)
    assert [one.data for one in reader.feed(parts)] == [b"hi", "ä"]
    reader.close()


def test_endless_empty_fragments_take_no_memory():
    reader = MessageReader()
    reader.feed(message(b"", 0x01))
    for _ in range(1000):
        assert reader.feed(message(b"", 0x00) * 10) == []
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
    before = reader.feed(data)
    assert all(one.type is WSMsgType.TEXT for one in before)
    assert reader.error_code == code
    assert reader.feed(message(b"{}")) == []
    reader.close()


def test_control_frames_between_fragments_have_no_part_in_the_size_of_the_message():
    reader = MessageReader()
    reader.feed(message(b"x" * MAX_MESSAGE, 0x01))
    assert [one.data for one in reader.feed(message(b"x" * 125, PING))] == [b"x" * 125]
    [close] = reader.feed(message(b"", CLOSE))
    assert (close.type, reader.error_code) == (WSMsgType.CLOSE, None)
    reader.close()


def test_nothing_is_read_after_a_close_frame():
    reader = MessageReader()
    [close] = reader.feed(message(struct.pack(">H", 1000), CLOSE) + message(b"{}"))
    assert close.type is WSMsgType.CLOSE
    assert reader.feed(message(b"{}")) == []
    assert reader.error_code is None
    reader.close()
