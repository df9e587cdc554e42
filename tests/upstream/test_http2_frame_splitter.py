"""From bytes to messages, however bytes and frames are cut."""

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
from bridge.upstream.http2.status import MessageRefusedError
from bridge.upstream.http2.stream_buffer import (
    MAX_MESSAGE,
    WINDOW,
    ProtocolViolationError,
    StreamBuffer,
    frame_message,
)


class Recorder:
    """A splitter, its buffers, and the calls of its callbacks."""

    def __init__(self, *streams):
        self.buffers = {}
        self.grants = []
        self.frames = []
        self.ended = []
        self.refused = []
        for stream in streams:
            self.buffers[stream] = StreamBuffer(
                lambda size, at=stream: self.grants.append((at, size))
            )
        self.splitter = FrameSplitter(
            self.buffers,
            on_frame=lambda *frame: self.frames.append(frame),
            on_data_end=self.ended.append,
            on_refused=lambda *refusal: self.refused.append(refusal),
            grant=lambda size: self.grants.append((0, size)),
        )

    def feed(self, *pieces):
        for piece in pieces:
            self.splitter.feed(piece)

    def messages(self, stream=1):
        return list(self.buffers[stream].messages)


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
def test_however_bytes_are_cut_the_messages_and_their_order_are_the_same(case, draw):
    messages, wire = case
    whole = b"".join(wire)
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(whole)), max_size=30)))
    recorder = Recorder(1, 3)
    recorder.feed(*(whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)))
    for stream in (1, 3):
        assert recorder.messages(stream) == [m for s, m in messages if s == stream]
    assert len(recorder.frames) == sum(frame[3] == PING for frame in wire)
    assert not recorder.refused


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=8))
def test_garbage_is_a_protocol_violation_or_ignored(garbage, cuts):
    recorder = Recorder(1)
    cuts = [0, *sorted(min(cut, len(garbage)) for cut in cuts), len(garbage)]
    with contextlib.suppress(ProtocolViolationError):
        recorder.feed(*(garbage[a:b] for a, b in itertools.pairwise(cuts)))


def test_a_message_over_many_frames_is_one():
    recorder = Recorder(1)
    wire = frame_message(b"x" * 50_000)
    for at in range(0, len(wire), MAX_FRAME):
        recorder.feed(data(wire[at : at + MAX_FRAME]))
    assert recorder.messages() == [b"x" * 50_000]


def test_padding_is_not_content_and_is_granted_again():
    recorder = Recorder(1)
    for _ in range(WINDOW // 512 + 1):
        recorder.feed(data(frame_message(b"abc"), pad=255))
        recorder.buffers[1].pop()
    assert sum(size for stream, size in recorder.grants if stream) >= WINDOW // 2


def test_the_reserved_bit_is_ignored():
    recorder = Recorder(1)
    wire = bytearray(data(frame_message(b"abc")))
    wire[5] |= 0x80
    recorder.feed(bytes(wire))
    assert recorder.messages() == [b"abc"]


def test_the_end_of_a_stream_with_data_is_reported_after_its_messages():
    recorder = Recorder(1)
    recorder.feed(data(frame_message(b"last"), end=True))
    assert recorder.messages() == [b"last"]
    assert recorder.ended == [1]


@pytest.mark.parametrize(
    "wire",
    [
        struct.pack(">HBBBI", 256, 0, 0, 0, 1),  # 64 KiB
        b"\x00\x00\x00\x00\x08\x00\x00\x00\x01",  # padded, and no length of the padding
        b"\x00\x00\x01\x00\x08\x00\x00\x00\x01\x01",  # more padding than frame
    ],
)
def test_invalid_frames_are_protocol_violations(wire):
    with pytest.raises(ProtocolViolationError):
        Recorder(1).feed(wire)


def test_data_of_an_unknown_stream_counts_only_for_the_connection():
    recorder = Recorder(1)
    for _ in range(CONNECTION_WINDOW // MAX_FRAME):
        recorder.feed(data(bytes(MAX_FRAME), 5))
    assert recorder.grants == [(0, CONNECTION_WINDOW // 2)] * 2
    assert not recorder.messages()


# ------------------------------------------------------------------ flow control


def test_a_stream_is_granted_what_was_read_and_not_what_arrived():
    recorder = Recorder(1)
    message = bytes(1019)
    for _ in range(WINDOW // 1024):
        recorder.feed(data(frame_message(message)))
    assert not recorder.grants
    with pytest.raises(ProtocolViolationError):
        recorder.feed(data(frame_message(b"")))
    recorder = Recorder(1)
    for _ in range(WINDOW // 1024):
        recorder.feed(data(frame_message(message)))
    while recorder.messages():
        recorder.buffers[1].pop()
    assert recorder.grants == [(1, WINDOW // 2)] * 2


def test_a_message_larger_than_the_window_is_granted_the_rest_in_advance_and_no_more():
    recorder = Recorder(1)
    big = bytes(1024 * 1024)
    wire = frame_message(big)
    for at in range(0, len(wire), MAX_FRAME):
        recorder.feed(data(wire[at : at + MAX_FRAME]))
    advance = len(wire) - WINDOW
    assert recorder.grants == [(1, advance)]
    assert recorder.buffers[1].pop() == big
    assert recorder.grants == [(1, advance), (1, WINDOW)]


@given(st.lists(st.tuples(st.integers(0, 3 * WINDOW), st.integers(0, 3)), max_size=12))
def test_a_peer_that_keeps_to_its_window_is_never_blocked_for_good_and_never_exceeds_it(steps):
    recorder = Recorder(1)
    buffer, window, queue, got = recorder.buffers[1], WINDOW, b"", 0
    for size, reads in steps:
        queue += frame_message(bytes(size))
        for turn in range(1_000):
            window += sum(size for _, size in recorder.grants)
            recorder.grants.clear()
            part = queue[: min(window, MAX_FRAME)]
            if not part:
                if not queue or not buffer.messages:
                    break
                buffer.pop()  # the window is full: a late reader opens it
                got += 1
                continue
            window -= len(part)
            queue = queue[len(part) :]
            recorder.feed(data(part))
            if turn < reads and buffer.messages:
                buffer.pop()
                got += 1
        assert not queue
        assert sum(map(len, buffer.messages)) <= 4 * WINDOW
    assert got + len(buffer.messages) == len(steps)


@pytest.mark.parametrize(
    ("prefix", "code"),
    [
        (struct.pack(">BI", 0, MAX_MESSAGE + 1), "RESOURCE_EXHAUSTED"),
        (struct.pack(">BI", 0, 2**32 - 1), "RESOURCE_EXHAUSTED"),
        (struct.pack(">BI", 1, 3) + b"abc", "INTERNAL"),
    ],
)
def test_a_refused_message_ends_its_stream_and_no_other(prefix, code):
    recorder = Recorder(1, 3)
    recorder.feed(data(frame_message(b"before") + prefix) + data(frame_message(b"other"), 3))
    ((stream, refused),) = recorder.refused
    assert (stream, refused.status.code) == (1, code)
    assert recorder.messages(1) == [b"before"]
    assert recorder.messages(3) == [b"other"]
    assert isinstance(refused, MessageRefusedError)


def test_a_window_update_is_13_octets_of_rfc_9113():
    assert window_update(3, 70_000).hex() == "00000408000000000300011170"
