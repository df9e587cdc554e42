import json
import struct

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.core.gojson import (
    FAST_ERRORS,
    UnreadableError,
    compact_fast,
    encode_float,
    encode_string,
    escape,
    unescaped_cursor,
    unescaped_row,
)
from bridge.core.json_space import has_space, may_have_space
from bridge.core.value import JsonText
from core_makers import json_texts, mutations, thorough
from core_oracles import go_compact, go_number, go_quote, json_accepts, pairs


def compact(row):
    return escape(unescaped_row(row))


def cursor_bytes(cursor):
    return escape(unescaped_cursor(cursor))


def value_bytes(value):
    """A value as encoded in a cursor of its own."""
    return cursor_bytes((value,)).removeprefix(b'{"values":[').removesuffix(b"]}")


# ---------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("double", "encoded"),
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
def test_doubles_at_the_edges_are_encoded_as_javascript_does(double, encoded):
    assert encode_float(double).decode() == encoded


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
def test_a_double_is_encoded_by_the_rule_and_decodes_to_itself(double):
    encoded = encode_float(double).decode()
    assert encoded == go_number(double)
    assert struct.pack("<d", float(encoded)) == struct.pack("<d", double)
    assert float(json.loads(encoded)) == double


@pytest.mark.parametrize("double", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_is_unreadable(double):
    with pytest.raises(UnreadableError):
        encode_float(double)


# ---------------------------------------------------------------- strings


@thorough
@given(st.text(st.characters(exclude_categories=[])))
@example('\x00\x08\x0c\n\r\t\x1f\x7f"\\/<>&\u2027\u2028\u2029\u202a\U0001f600\ufeff\u0085')
@example("\ud800\udfff")
def test_a_string_is_encoded_as_go_does_and_decodes_to_itself(text):
    encoded = encode_string(text).decode()
    assert encoded == go_quote(text)
    whole = text.encode(errors="replace").decode() == text
    assert not whole or json.loads(encoded) == text


def test_every_character_of_one_and_two_bytes_is_encoded_as_go_does():
    for code in range(0x800):
        assert encode_string(f"a{chr(code)}").decode() == go_quote(f"a{chr(code)}")


# ---------------------------------------------------------------- rows


@thorough
@given(json_texts())
def test_a_row_is_passed_through_without_white_space_and_with_html_escaped(text):
    encoded = compact(text.encode()).decode()
    assert encoded == go_compact(text)
    assert pairs(encoded) == pairs(text)


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


# ---------------------------------------------------------------- cursors


@pytest.mark.parametrize(
    ("value", "encoded"),
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
def test_a_cursor_value_is_encoded_by_its_kind(value, encoded):
    assert value_bytes(value) == encoded


def test_a_cursor_is_null_when_absent_and_a_list_when_present():
    assert cursor_bytes(None) == b'{"values":null}'
    assert cursor_bytes(()) == b'{"values":[]}'
    assert cursor_bytes((1, "x", None)) == b'{"values":[1,"x",null]}'


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    doubles,
    st.text(st.characters(exclude_categories=[])),
    json_texts().map(JsonText),
)


@thorough
@given(st.lists(values, max_size=3))
@example(["\ud800", "<", 1, None])
@example([True, 1, 1.0, JsonText("1.00")])
def test_a_cursor_encodes_each_of_its_values_as_it_would_alone(cursor):
    encoded = b",".join(map(value_bytes, cursor))
    assert cursor_bytes(tuple(cursor)) == b'{"values":[%b]}' % encoded


@thorough
@given(st.integers(-(2**63), 2**64 - 1))
def test_an_integer_keeps_its_digits(integer):
    assert value_bytes(integer) == str(integer).encode()


# ---------------------------------------------------------------- the fast way


def printed(print_row, text):
    try:
        return print_row(text)
    except FAST_ERRORS:
        return None


@thorough
@given(st.data())
def test_a_row_is_accepted_and_printed_as_msgspec_does_it(data):
    text = data.draw(json_texts()).encode(errors="surrogatepass")
    changed = data.draw(st.just(text) | mutations(text))
    assert printed(compact_fast, changed) == printed(
        lambda row: msgspec.json.format(row, indent=-1), changed
    )


@thorough
@given(json_texts())
@example('{"a b":"c \\" d"}')
@example('{"a\\\\": 1}')
@example('"\\u0020\\\\" ')
def test_only_white_space_outside_strings_is_space(text):
    row = text.encode(errors="surrogatepass")
    assert has_space(row) is (unescaped_row(row) != row)
    assert may_have_space(row) or not has_space(row)
