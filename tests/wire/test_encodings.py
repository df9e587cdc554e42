import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.bundle import Bundle
from bridge.wire import encodings as forms
from core_makers import encoded, enter, quick
from core_oracles import dechunk, parse_sse, parse_ws


@st.composite
def bundles(draw):
    """One to three groups of one to three frames, each group at a position."""
    groups = []
    for number in range(draw(st.integers(1, 3))):
        stream_id = draw(st.sampled_from(["", f"{number}-0"]))
        deltas = [enter(f"r{number}{i}", i, stream_id) for i in range(draw(st.integers(1, 3)))]
        groups.append(encoded(*deltas, stream_id=stream_id))
    return Bundle(groups, "token", len(groups))


def frames(bundle):
    return [frame for group in bundle.groups for frame in group.frames]


@quick
@given(bundles())
def test_core_forms_carry_every_frame_in_order(bundle):
    data = [frame.data for frame in frames(bundle)]
    assert bundle.frame_count == len(data)
    assert parse_ws(bundle.encoded(forms.core_ws)) == [(1, one) for one in data]
    assert [one.encode() for _, one, _ in parse_sse(bundle.encoded(forms.core_sse))] == data


@quick
@given(bundles())
def test_v1_events_name_the_position_on_the_last_frame_of_a_group_only(bundle):
    events = parse_sse(bundle.encoded(forms.v1_sse))
    assert [one.encode() for _, one, _ in events] == [frame.data for frame in frames(bundle)]
    held, expected = "", []
    for group, position in zip(bundle.groups, bundle.positions, strict=True):
        expected += [held] * (len(group.frames) - 1) + [position]
        held = position
    assert [last_id for *_, last_id in events] == expected


@quick
@given(bundles())
def test_a_v1_message_has_the_position_after_its_last_group_and_all_frames(bundle):
    told = json.loads(b'{"type":"frames",' + bundle.encoded(forms.v1_tail))
    assert told["pos"] == bundle.positions[-1]
    assert told["frames"] == [json.loads(frame.data) for frame in frames(bundle)]


@pytest.mark.parametrize(
    ("chunked", "plain"),
    [(forms.core_sse_chunked, forms.core_sse), (forms.v1_sse_chunked, forms.v1_sse)],
)
@given(bundles())
def test_a_chunked_form_is_one_chunk_of_the_plain_one(chunked, plain, bundle):
    assert dechunk(bundle.encoded(chunked)) == bundle.encoded(plain)


@quick
@given(bundles())
def test_a_bundle_is_printed_once_and_splits_into_its_groups(bundle):
    assert bundle.encoded(forms.v1_tail) is bundle.encoded(forms.v1_tail)
    parts = bundle.split()
    assert [part.groups for part in parts] == [[group] for group in bundle.groups]
    assert [part.positions for part in parts] == [[position] for position in bundle.positions]
    assert b"".join(part.encoded(forms.v1_sse) for part in parts) == bundle.encoded(forms.v1_sse)
