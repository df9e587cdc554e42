"""Bytes → messages: whatever the pieces, whatever the frames."""

import contextlib
import itertools
import struct

import pytest
from hyperframe.frame import DataFrame, PingFrame
from hypothesis import given
from hypothesis import strategies as st

from bridge.upstream.http2.frame_splitter import (
    CONNECTION_WINDOW,
    MAX_FRAME,
    PING,
    FrameSplitter,
    window_update,
)
from bridge.upstream.http2.stream_buffer import (
    MAX_MESSAGE,
    WINDOW,
    MessageRefusedError,
    StreamBuffer,
    ViolationError,
    frame_message,
)


class Heard:
    """A splitter, its inboxes, and all that it says."""

    def __init__(self, *streams):
        self.inboxes = {}
        self.grants = []
        self.control = []
        self.ended = []
        self.refused = []
        for stream in streams:
            self.inboxes[stream] = StreamBuffer(
                lambda size, at=stream: self.grants.append((at, size))
            )
        self.splitter = FrameSplitter(
            self.inboxes,
            control=lambda *frame: self.control.append(frame),
            ended=self.ended.append,
            refuse=lambda *refusal: self.refused.append(refusal),
            grant=lambda size: self.grants.append((0, size)),
        )

    def feed(self, *pieces):
        for piece in pieces:
            self.splitter.feed(piece)

    def messages(self, stream=1):
        return list(self.inboxes[stream].messages)


def data(payload, stream=1, *, pad=None, end=False):
    frame = DataFrame(stream, payload, pad_length=pad or 0)
    if pad is not None:
        frame.flags.add("PADDED")
    if end:
        frame.flags.add("END_STREAM")
    return frame.serialize()


@st.composite
def streams(draw):
    """Messages of two streams, cut into frames of any size, some padded, pings between them."""
    messages = draw(st.lists(st.tuples(st.sampled_from([1, 3]), st.binary(max_size=60))))
    wire, rest = [], {1: b"", 3: b""}
    for stream, message in messages:
        rest[stream] += frame_message(message)
    while any(rest.values()):
        stream = draw(st.sampled_from([s for s in rest if rest[s]]))
        size = draw(st.integers(1, 80))
        pad = draw(st.none() | st.integers(0, 20))
        wire.append(data(rest[stream][:size], stream, pad=pad))
        rest[stream] = rest[stream][size:]
        if draw(st.booleans()):
            wire.append(PingFrame(0, b"12345678").serialize())
    return messages, wire


@given(streams(), st.data())
def test_any_pieces_give_the_same_messages_in_the_same_order(case, draw):
    messages, wire = case
    whole = b"".join(wire)
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(whole)), max_size=30)))
    heard = Heard(1, 3)
    heard.feed(*(whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)))
    for stream in (1, 3):
        assert heard.messages(stream) == [m for s, m in messages if s == stream]
    assert len(heard.control) == sum(frame[3] == PING for frame in wire)
    assert not heard.refused


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=8))
def test_garbage_is_a_violation_or_nothing(garbage, cuts):
    heard = Heard(1)
    cuts = [0, *sorted(min(cut, len(garbage)) for cut in cuts), len(garbage)]
    with contextlib.suppress(ViolationError):
        heard.feed(*(garbage[a:b] for a, b in itertools.pairwise(cuts)))


def test_a_message_over_many_frames_is_one():
    heard = Heard(1)
    wire = frame_message(b"x" * 50_000)
    for at in range(0, len(wire), MAX_FRAME):
        heard.feed(data(wire[at : at + MAX_FRAME]))
    assert heard.messages() == [b"x" * 50_000]


def test_padding_is_no_content_and_is_granted_again():
    heard = Heard(1)
    for _ in range(WINDOW // 512 + 1):
        heard.feed(data(frame_message(b"abc"), pad=255))
        heard.inboxes[1].take()
    assert sum(size for stream, size in heard.grants if stream) >= WINDOW // 2


def test_the_reserved_bit_means_nothing():
    heard = Heard(1)
    wire = bytearray(data(frame_message(b"abc")))
    wire[5] |= 0x80
    heard.feed(bytes(wire))
    assert heard.messages() == [b"abc"]


def test_a_stream_that_ends_with_data_is_told_after_its_messages():
    heard = Heard(1)
    heard.feed(data(frame_message(b"last"), end=True))
    assert heard.messages() == [b"last"]
    assert heard.ended == [1]


@pytest.mark.parametrize(
    "wire",
    [
        struct.pack(">HBBBI", 256, 0, 0, 0, 1),  # 64 KiB
        b"\x00\x00\x00\x00\x08\x00\x00\x00\x01",  # padded, and no length of the padding
        b"\x00\x00\x01\x00\x08\x00\x00\x00\x01\x01",  # more padding than frame
    ],
)
def test_what_breaks_the_rules_is_a_violation(wire):
    with pytest.raises(ViolationError):
        Heard(1).feed(wire)


def test_data_of_an_unknown_stream_counts_for_the_connection_alone():
    heard = Heard(1)
    for _ in range(CONNECTION_WINDOW // MAX_FRAME):
        heard.feed(data(bytes(MAX_FRAME), 5))
    assert heard.grants == [(0, CONNECTION_WINDOW // 2)] * 2
    assert not heard.messages()


# ------------------------------------------------------------------ flow control


def test_a_stream_is_granted_what_was_taken_and_not_what_came():
    heard = Heard(1)
    message = bytes(1019)
    for _ in range(WINDOW // 1024):
        heard.feed(data(frame_message(message)))
    assert not heard.grants
    with pytest.raises(ViolationError):
        heard.feed(data(frame_message(b"")))
    heard = Heard(1)
    for _ in range(WINDOW // 1024):
        heard.feed(data(frame_message(message)))
    while heard.messages():
        heard.inboxes[1].take()
    assert heard.grants == [(1, WINDOW // 2)] * 2


def test_a_message_larger_than_the_window_is_lent_the_rest_and_no_more():
    heard = Heard(1)
    big = bytes(1024 * 1024)
    wire = frame_message(big)
    for at in range(0, len(wire), MAX_FRAME):
        heard.feed(data(wire[at : at + MAX_FRAME]))
    lent = len(wire) - WINDOW
    assert heard.grants == [(1, lent)]
    assert heard.inboxes[1].take() == big
    assert heard.grants == [(1, lent), (1, WINDOW)]


@given(st.lists(st.tuples(st.integers(0, 3 * WINDOW), st.integers(0, 3)), max_size=12))
def test_a_peer_that_keeps_to_its_window_is_never_stuck_and_never_breaks_it(steps):
    heard = Heard(1)
    inbox, window, queue, got = heard.inboxes[1], WINDOW, b"", 0
    for size, reads in steps:
        queue += frame_message(bytes(size))
        for turn in range(1_000):
            window += sum(size for _, size in heard.grants)
            heard.grants.clear()
            part = queue[: min(window, MAX_FRAME)]
            if not part:
                if not queue or not inbox.messages:
                    break
                inbox.take()  # held back: a reader that comes late frees it
                got += 1
                continue
            window -= len(part)
            queue = queue[len(part) :]
            heard.feed(data(part))
            if turn < reads and inbox.messages:
                inbox.take()
                got += 1
        assert not queue
        assert sum(map(len, inbox.messages)) <= 4 * WINDOW
    assert got + len(inbox.messages) == len(steps)


@pytest.mark.parametrize(
    ("prefix", "code"),
    [
        (struct.pack(">BI", 0, MAX_MESSAGE + 1), "RESOURCE_EXHAUSTED"),
        (struct.pack(">BI", 0, 2**32 - 1), "RESOURCE_EXHAUSTED"),
        (struct.pack(">BI", 1, 3) + b"abc", "INTERNAL"),
    ],
)
def test_a_message_we_do_not_take_ends_its_stream_and_no_other(prefix, code):
    heard = Heard(1, 3)
    heard.feed(data(frame_message(b"before") + prefix) + data(frame_message(b"other"), 3))
    ((stream, refused),) = heard.refused
    assert (stream, refused.status.code) == (1, code)
    assert heard.messages(1) == [b"before"]
    assert heard.messages(3) == [b"other"]
    assert isinstance(refused, MessageRefusedError)


def test_a_window_update_is_13_octets_of_rfc_9113():
    assert window_update(3, 70_000).hex() == "00000408000000000300011170"
