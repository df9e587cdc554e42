import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.frame import encode
from bridge.core.op import Op
from bridge.wire.sse import http_chunk, sse_event, sse_events
from bridge.wire.websocket import ws_frame_header, ws_text_frame, ws_text_frames
from core_makers import frame, quick, wild_frames
from core_oracles import dechunk, parse_sse, parse_ws

line_safe = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), max_size=9
)


@quick
@given(st.lists(st.tuples(st.sampled_from([*Op, 99]), line_safe, line_safe), max_size=4))
def test_an_independent_parser_reads_every_event_with_its_id(parts):
    frames = [encode(op, agg_id, stream_id=stream_id) for op, agg_id, stream_id in parts]
    last, expected = "", []
    for one in frames:
        last = one.stream_id or last
        expected.append((json.loads(one.data)["op"], one.data.decode(), last))
    assert parse_sse(sse_events(frames)) == expected


def test_an_event_has_an_id_line_only_where_there_is_a_stream_id():
    assert sse_event(frame(Op.RESET, old=0, new=0), "") == (
        b'event: reset\ndata: {"op":"reset","old_index":0,"new_index":0,"cursor":{"values":null}}\n\n'
    )
    assert sse_event(frame(Op.LEAVE, "c", 0, stream_id="9-2"), "9-2") == (
        b'id: 9-2\nevent: leave\ndata: {"op":"leave","agg_id":"c","old_index":0,"new_index":-1,'
        b'"cursor":{"values":null},"stream_id":"9-2"}\n\n'
    )


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 70000])
def test_an_independent_parser_reads_a_message_of_any_length(size):
    payload = b"x" * size
    assert parse_ws(ws_text_frame(payload) * 2) == [(1, payload)] * 2
    assert ws_text_frame(payload) == ws_frame_header(1, size) + payload


@pytest.mark.parametrize("opcode", [0x1, 0x8, 0x9, 0xA])
def test_a_head_carries_its_opcode(opcode):
    assert parse_ws(ws_frame_header(opcode, 2) + b"hi") == [(opcode, b"hi")]


@quick
@given(st.lists(wild_frames(), min_size=1, max_size=5))
def test_each_frame_is_one_text_message(frames):
    assert parse_ws(ws_text_frames(frames)) == [(1, one.data) for one in frames]


@quick
@given(st.binary(min_size=1, max_size=300))
def test_a_chunk_is_read_back(data):
    assert dechunk(http_chunk(data) + http_chunk(b"end")) == data + b"end"
