import base64
import inspect
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core import native_frame, struct_frame
from bridge.core.frame_encoding import RESET, encode, leave_frame, reencode
from bridge.core.gojson import escape, unescaped_row
from bridge.core.op import Op
from bridge.core.value import JsonText
from bridge.wire.sse import sse_event
from core_makers import json_texts, members_of, named, quick, vector_delta

wild_texts = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0")
    | st.sampled_from('<>&"\\\u2028\x7f')
)
RECORDED = named("frames")
ENCODABLE = [name for name, vector in RECORDED.items() if not vector.get("rejected")]


@pytest.mark.parametrize("name", ENCODABLE)
def test_a_recorded_delta_is_encoded_to_the_recorded_bytes(name):
    vector = RECORDED[name]
    frame = vector_delta(vector["delta"])
    assert frame.data == base64.b64decode(vector["frame_b64"])
    assert sse_event(frame, frame.stream_id) == base64.b64decode(vector["sse_b64"])


@pytest.mark.parametrize("name", sorted(RECORDED.keys() - set(ENCODABLE)))
def test_a_recorded_rejection_has_no_data(name):
    assert not vector_delta(RECORDED[name]["delta"]).data


@pytest.mark.parametrize("double", [float("nan"), float("inf"), float("-inf")])
def test_a_cursor_that_is_not_finite_is_unreadable(double):
    assert not encode(Op.ENTER, cursor=(double,)).data


@pytest.mark.parametrize("text", ["x", "", "NaN", "1 2", "\udcff", '"\udcff"', f'"{chr(0xD800)}"'])
def test_json_text_of_a_cursor_that_is_none_is_unreadable(text):
    assert not encode(Op.ENTER, cursor=(JsonText(text),)).data


@pytest.mark.parametrize(
    ("op", "name"),
    [
        (0, "delta"),
        (1, "enter"),
        (2, "leave"),
        (3, "move"),
        (4, "update"),
        (5, "reset"),
        (6, "match"),
        (7, "unmatch"),
        (8, "delta"),
        (-1, "delta"),
        (2**31 - 1, "delta"),
    ],
)
def test_an_op_is_encoded_by_name_and_an_unknown_one_as_delta(op, name):
    frame = encode(op, agg_id="x")
    assert frame.data.startswith(b'{"op":"%b","agg_id":"x"' % name.encode())


def test_a_bare_delta_has_the_zero_values_of_the_schema():
    assert members_of(encode(5, "", 0, b"", 0, 0, None, "", 0.0)) == members_of(RESET)


def test_an_unreadable_delta_keeps_all_members_but_cursor_and_data():
    bad = encode(Op.MOVE, "a", 7, b"{", 1, 2, (1,), "1-0", 5.0)
    why = ("a row that is not JSON", b"{")
    assert members_of(bad) == (Op.MOVE, "a", 7, b"", 1, 2, "1-0", b"", 5.0, *why)
    assert not bad.body


def test_keys_come_in_order_and_what_is_empty_is_left_out():
    assert RESET.data == b'{"op":"reset","old_index":0,"new_index":0,"cursor":{"values":null}}'
    full = encode(Op.ENTER, "a1", 7, b'{"name":"x"}', -1, 2, ("x", "a1"), "1718000000000-0", 5.0)
    assert full.data == (
        b'{"op":"enter","agg_id":"a1","version":7,"row":{"name":"x"},"old_index":-1,"new_index":2,'
        b'"cursor":{"values":["x","a1"]},"stream_id":"1718000000000-0"}'
    )


@pytest.mark.parametrize("version", [-(2**63), -1, 1, 2**53 + 1, 2**63 - 1])
def test_versions_keep_64_bits(version):
    assert json.loads(encode(Op.ENTER, version=version).data)["version"] == version


@pytest.mark.parametrize("stream_id", ["a\nb", "a\r", "\0", "1-0\n\ndata: x"])
def test_a_stream_id_that_breaks_a_line_is_unreadable(stream_id):
    assert not encode(Op.ENTER, stream_id=stream_id).data


@quick
@given(st.text(st.characters(exclude_categories=["Cs"])), json_texts())
def test_no_id_or_row_adds_a_line_to_a_frame(agg_id, text):
    data = encode(Op.ENTER, agg_id, row=text.encode(), cursor=(agg_id,)).data
    assert not set(data) & set(b"\r\n\0")
    assert json.loads(data)["cursor"]["values"] == [agg_id]


@quick
@given(wild_texts, json_texts(), wild_texts, wild_texts)
def test_a_reencoded_row_has_the_bytes_of_a_delta_from_the_tier(agg_id, text, value, name):
    members = {"agg_id": agg_id, "version": 7, "row": text.encode(), "cursor": (value,)}
    row = encode(Op.UPDATE, old_index=3, new_index=3, stream_id="1-0", at=5.0, **members)
    reencoded = reencode(Op.MOVE, row, 3, 2, name)
    assert members_of(reencoded) == members_of(
        encode(Op.MOVE, old_index=3, new_index=2, stream_id=name, **members)
    )
    assert reencoded.row == escape(unescaped_row(text.encode()))


@quick
@given(st.integers(-1, 9), wild_texts, st.integers(-3, 3), json_texts(), wild_texts, wild_texts)
def test_the_body_is_what_is_encoded_between_the_op_and_the_indexes(
    op, agg_id, version, text, value, name
):
    # The row and the cursor have in them all that could be taken for what stands around.
    trap = f'[{{"a":1,"old_index":3,"new_index":4,"cursor":{{"values":null}}}},{text}]'
    encoded = encode(op, agg_id, version, trap.encode(), 3, 4, (JsonText(trap), value), name)
    body = encode(0, agg_id, version, trap.encode()).data
    begin, end = (
        len(b'{"op":"delta"'),
        len(b',"old_index":0,"new_index":0,"cursor":{"values":null}}'),
    )
    assert encoded.body == body[begin:-end]


@quick
@given(wild_texts)
def test_a_leave_has_no_row_member_but_the_id(agg_id):
    assert json.loads(leave_frame(agg_id, 4, "1-0").data) == {
        "op": "leave", **({"agg_id": agg_id} if agg_id else {}), "old_index": 4, "new_index": -1,
        "cursor": {"values": None}, "stream_id": "1-0",
    }  # fmt: skip


def test_frames_compare_by_identity():
    assert encode(1, "a") != encode(1, "a")


@quick
@given(
    st.sampled_from([op for op in Op if op]),
    wild_texts.filter(bool),
    st.integers(1, 2**63 - 1),
    json_texts(),
    st.integers(-1, 2**31 - 1),
    st.integers(-1, 1025),
    wild_texts.filter(bool),
)
def test_a_whole_delta_is_printed_as_msgspec_prints_it(op, agg_id, version, text, old, new, name):
    row = unescaped_row(text.encode())
    members = {
        "op": op.name.lower(), "agg_id": agg_id, "version": version, "row": msgspec.Raw(row),
        "old_index": old, "new_index": new, "cursor": {"values": [agg_id, 7]}, "stream_id": name,
    }  # fmt: skip
    frame = encode(op, agg_id, version, text.encode(), old, new, (agg_id, 7), name)
    assert frame.data == escape(msgspec.json.encode(members))


@pytest.mark.parametrize("name", ["Frame", "UnreadableFrame"])
def test_a_frame_of_either_build_is_the_same_to_its_users(name):
    kinds = [getattr(native_frame, f"Native{name}"), getattr(struct_frame, f"Struct{name}")]
    expected = inspect.signature(kinds[1]).parameters.values()
    whole = vector_delta(RECORDED[ENCODABLE[0]]["delta"])
    values = members_of(whole)
    frames = [kind(*values) for kind in kinds]
    for one in expected:
        assert len({getattr(frame, one.name) for frame in frames}) == 1, one.name
    for member in ("body", "row"):
        assert len({getattr(frame, member) for frame in (whole, *frames)}) == 1, member
    assert all(frame.frames == (frame,) for frame in frames)
    assert len({frames[0], kinds[0](*values), frames[1], kinds[1](*values)}) == 4, "by identity"
