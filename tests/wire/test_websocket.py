import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.wire.websocket import (
    OPCODE_CLOSE,
    OPCODE_PING,
    OPCODE_PONG,
    OPCODE_TEXT,
    ws_frame_header,
    ws_text_frame,
    ws_text_frames,
)
from core_makers import quick, wild_frames
from core_oracles import parse_ws


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 70000])
def test_an_independent_parser_reads_a_message_of_any_length(size):
    payload = b"x" * size
    assert parse_ws(ws_text_frame(payload) * 2) == [(1, payload)] * 2
    assert ws_text_frame(payload) == ws_frame_header(1, size) + payload


@pytest.mark.parametrize(
    ("opcode", "number"),
    [(OPCODE_TEXT, 0x1), (OPCODE_CLOSE, 0x8), (OPCODE_PING, 0x9), (OPCODE_PONG, 0xA)],
)
def test_a_frame_header_carries_its_opcode(opcode, number):
    assert parse_ws(ws_frame_header(opcode, 2) + b"hi") == [(number, b"hi")]


@quick
@given(st.lists(wild_frames(), min_size=1, max_size=5))
def test_each_frame_is_one_text_message(frames):
    assert parse_ws(ws_text_frames(frames)) == [(1, one.data) for one in frames]
