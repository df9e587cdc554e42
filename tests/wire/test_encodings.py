import json

import pytest
from hypothesis import given

from bridge.wire import encodings
from core_makers import bundles, quick
from core_oracles import dechunk, parse_sse, parse_ws


def frames(bundle):
    return [frame for group in bundle.groups for frame in group.frames]


@quick
@given(bundles())
def test_core_encodings_carry_every_frame_in_order(bundle):
    data = [frame.data for frame in frames(bundle)]
    assert bundle.frame_count == len(data)
    assert parse_ws(bundle.encoded(encodings.core_ws)) == [(1, one) for one in data]
    assert [one.encode() for _, one, _ in parse_sse(bundle.encoded(encodings.core_sse))] == data


@quick
@given(bundles())
def test_v1_events_name_the_position_on_the_last_frame_of_a_group_only(bundle):
    events = parse_sse(bundle.encoded(encodings.v1_sse))
    assert [one.encode() for _, one, _ in events] == [frame.data for frame in frames(bundle)]
    held, expected = "", []
    for group, position in zip(bundle.groups, bundle.positions, strict=True):
        expected += [held] * (len(group.frames) - 1) + [position]
        held = position
    assert [last_id for *_, last_id in events] == expected


@quick
@given(bundles())
def test_a_v1_message_has_the_position_after_its_last_group_and_all_frames(bundle):
    message = json.loads(b'{"type":"frames",' + bundle.encoded(encodings.v1_ws_suffix))
    assert message["pos"] == bundle.positions[-1]
    assert message["frames"] == [json.loads(frame.data) for frame in frames(bundle)]


@pytest.mark.parametrize(
    ("chunked", "plain"),
    [
        (encodings.core_sse_chunked, encodings.core_sse),
        (encodings.v1_sse_chunked, encodings.v1_sse),
    ],
)
@given(bundles())
def test_a_chunked_encoding_is_one_chunk_of_the_plain_one(chunked, plain, bundle):
    assert dechunk(bundle.encoded(chunked)) == bundle.encoded(plain)
