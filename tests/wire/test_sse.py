import json

from hypothesis import given
from hypothesis import strategies as st

from bridge.core.frame_encoding import encode
from bridge.core.op import Op
from bridge.wire.sse import http_chunk, sse_event, sse_events
from core_makers import frame, quick
from core_oracles import dechunk, parse_sse

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


@quick
@given(st.binary(min_size=1, max_size=300))
def test_a_chunk_is_read_back(data):
    assert dechunk(http_chunk(data) + http_chunk(b"end")) == data + b"end"
