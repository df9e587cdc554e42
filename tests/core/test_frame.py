import base64
import json
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import astuple

from bridge.core.delta import Op
from bridge.core.frame import (
    NO_CURSOR,
    RESET,
    UnreadableError,
    compact,
    cursor_bytes,
    encode,
    make,
    number,
    quote,
    value_bytes,
)
from bridge.core.group import sse_event
from bridge.core.value import JsonText
from core_makers import json_texts, mutations, named, quick, thorough, vector_delta
from core_oracles import go_compact, go_number, go_quote, json_accepts, pairs

RECORDED = named("frames")
PRINTED = [name for name, vector in RECORDED.items() if not vector.get("rejected")]


@pytest.mark.parametrize("name", PRINTED)
def test_a_recorded_delta_prints_the_recorded_bytes(name):
    vector = RECORDED[name]
    frame = vector_delta(vector["delta"])
    assert frame.data == base64.b64decode(vector["frame_b64"])
    assert sse_event(frame) == base64.b64decode(vector["sse_b64"])


@pytest.mark.parametrize("name", sorted(RECORDED.keys() - set(PRINTED)))
def test_of_a_recorded_rejection_nothing_is_printed(name):
    assert not vector_delta(RECORDED[name]["delta"]).data


# ---------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("double", "printed"),
    [
        (1e-6, "0.000001"),
        (9.999999999999997e-7, "9.999999999999997e-7"),
        (1e-7, "1e-7"),
        (1.5e-9, "1.5e-9"),
        (-1e-7, "-1e-7"),
        (1e20, "100000000000000000000"),
        (999999999999999900000.0, "999999999999999900000"),
        (1e21, "1e+21"),
        (-1e21, "-1e+21"),
        (1e22, "1e+22"),
        (123456789e15, "1.23456789e+23"),
        (2.0**53, "9007199254740992"),
        (100.0, "100"),
        (29.0, "29"),
        (0.1, "0.1"),
        (-1.5, "-1.5"),
        (0.0, "0"),
        (-0.0, "-0"),
        (5e-324, "5e-324"),
        (2.2250738585072014e-308, "2.2250738585072014e-308"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (1 / 3, "0.3333333333333333"),
    ],
)
def test_doubles_at_the_edges_print_as_javascript_prints_them(double, printed):
    assert number(double).decode() == printed


doubles = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.binary(min_size=8, max_size=8)
    .map(lambda data: struct.unpack("<d", data)[0])
    .filter(lambda double: double - double == 0),
    st.builds(
        lambda sign, digits, e: float(f"{sign}{digits}e{e}"),
        st.sampled_from(["", "-"]),
        st.integers(1, 99999),
        st.integers(-12, 24),
    ),
)


@thorough
@given(doubles)
@example(1e-6)
@example(1e21)
def test_a_double_prints_by_the_rule_and_reads_back_as_itself(double):
    printed = number(double).decode()
    assert printed == go_number(double)
    assert struct.pack("<d", float(printed)) == struct.pack("<d", double)
    assert float(json.loads(printed)) == double


@pytest.mark.parametrize("double", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_is_unreadable(double):
    with pytest.raises(UnreadableError):
        number(double)
    assert not encode(Op.ENTER, cursor=(double,)).data


# ---------------------------------------------------------------- strings


@thorough
@given(st.text(st.characters(exclude_categories=[])))
@example('\x00\x08\x0c\n\r\t\x1f\x7f"\\/<>&\u2027\u2028\u2029\u202a\U0001f600\ufeff\u0085')
@example("\ud800\udfff")
def test_a_string_prints_as_go_prints_it_and_reads_back(text):
    printed = quote(text).decode()
    assert printed == go_quote(text)
    whole = text.encode(errors="replace").decode() == text
    assert not whole or json.loads(printed) == text


def test_every_character_of_one_and_two_bytes_prints_as_go_prints_it():
    for code in range(0x800):
        assert quote(f"a{chr(code)}").decode() == go_quote(f"a{chr(code)}")


# ---------------------------------------------------------------- rows


@thorough
@given(json_texts())
def test_a_row_is_passed_through_without_white_space_and_with_html_escaped(text):
    printed = compact(text.encode()).decode()
    assert printed == go_compact(text)
    assert pairs(printed) == pairs(text)


@thorough
@given(json_texts().flatmap(lambda text: mutations(text.encode())) | st.binary(max_size=24))
@example(b"\xef\xbb\xbf1")
@example(b"\x0b1")
@example(b'"\x7f"')
@example(b"1\x00")
@example(b'"\\u00g0"')
@example(b'"\\x"')
@example(b"-")
@example(b"1.e5")
@example(b"2E+")
@example(b"-01")
@example(b"Infinity")
@example(b'"\xc0\x80"')
@example(b'"\xed\xa0\x80"')
@example(b'{"a":1 "b":2}')
@example(b"{1:2}")
@example(b"\xc2\xa01")
def test_a_row_is_accepted_exactly_where_json_accepts_it(data):
    if json_accepts(data):
        assert compact(data).decode() == go_compact(data.decode())
    else:
        with pytest.raises(UnreadableError):
            compact(data)


@pytest.mark.parametrize(
    "row",
    [
        b'{"a":"x y\\" z"}',
        b"[1.0,1E+5,-0,1e400,123456789012345678901234567890]",
        b'{"a":1,"a":2}',
        b'" \\ud800 "',
    ],
)
def test_a_compact_row_is_the_same_bytes(row):
    assert compact(row) == row


def test_a_row_of_many_levels_or_megabytes_is_read_in_linear_time():
    compact(b"[" * 500 + b" 1 " + b"]" * 500)
    compact(b'["' + b"x \\n" * 500_000 + b'" ]')
    with pytest.raises(UnreadableError):
        compact(b"[" * 1_000_000)
    with pytest.raises(UnreadableError):
        compact(b' "' + b"\\" * 1_000_001)


@pytest.mark.parametrize("text", ["x", "", "NaN", "1 2", "\udcff", '"\udcff"', f'"{chr(0xD800)}"'])
def test_json_text_of_a_cursor_that_is_none_is_unreadable(text):
    assert not encode(Op.ENTER, cursor=(JsonText(text),)).data


# ---------------------------------------------------------------- the rest of a frame


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        (None, b"null"),
        (True, b"true"),
        (False, b"false"),
        (1, b"1"),
        (1.0, b"1"),
        (2**64 - 1, b"18446744073709551615"),
        (-(2**63), b"-9223372036854775808"),
        (JsonText("1.50"), b"1.50"),
        (JsonText('{ "a" : "<" }'), b'{"a":"\\u003c"}'),
        ("<", b'"\\u003c"'),
    ],
)
def test_a_cursor_value_prints_by_its_kind(value, printed):
    assert value_bytes(value) == printed


def test_a_cursor_is_null_when_absent_and_a_list_when_present():
    assert cursor_bytes(None) == b'{"values":null}'
    assert cursor_bytes(()) == b'{"values":[]}'
    assert cursor_bytes((1, "x", None)) == b'{"values":[1,"x",null]}'


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
def test_an_op_prints_its_name_and_an_unknown_one_prints_delta(op, name):
    frame = encode(op, agg_id="x")
    assert frame.name == name
    assert frame.data.startswith(b'{"op":"%b","agg_id":"x"' % name.encode())


def test_a_bare_delta_has_the_zero_values_of_the_schema():
    assert astuple(encode(5, "", 0, b"", 0, 0, None, "", 0.0)) == astuple(RESET)


def test_what_is_unreadable_still_tells_what_it_is():
    bad = encode(Op.MOVE, "a", 7, b"{", 1, 2, (1,), "1-0", 5.0)
    assert astuple(bad) == (Op.MOVE, "a", 7, b"", b"", 1, 2, "1-0", b"", 5.0)


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
    with pytest.raises(UnreadableError):
        make(1, "a", 0, b"", NO_CURSOR, 0, 0, stream_id)


@quick
@given(st.text(st.characters(exclude_categories=["Cs"])), json_texts())
def test_no_id_or_row_adds_a_line_to_a_frame(agg_id, text):
    data = encode(Op.ENTER, agg_id, row=text.encode(), cursor=(agg_id,)).data
    assert not set(data) & set(b"\r\n\0")
    assert json.loads(data)["cursor"]["values"] == [agg_id]


def test_frames_compare_by_identity():
    assert make(1, "a", 0, b"", b"{}", 0, 0, "") != make(1, "a", 0, b"", b"{}", 0, 0, "")
