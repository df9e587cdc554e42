import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.value import (
    INT64_MIN,
    MAX_DEPTH,
    UINT64_MAX,
    JsonError,
    JsonNumber,
    JsonObject,
    JsonText,
    canonical,
    fold_key,
    parse_json,
    value_of,
)
from core_makers import json_texts, mutations, number_texts, quick, surrogate_free, thorough
from core_oracles import bare, json_accepts, pairs


def typed(text):
    return value_of(parse_json(text))


@thorough
@given(number_texts)
def test_a_number_is_an_integer_a_double_or_text_by_its_exact_decimal_value(text):
    exact = Fraction(text)
    double = float(text)
    if not set(text) & set(".eE") and INT64_MIN <= exact <= UINT64_MAX:
        value = typed(text)
        assert type(value) is int
        assert value == exact
    elif math.isinf(double):
        with pytest.raises(ValueError, match="beyond a double"):
            typed(text)
    elif Fraction(repr(double)) == exact:
        value = typed(text)
        assert type(value) is float
        assert value == double
    else:
        assert typed(text) == JsonText(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("9223372036854775807", 2**63 - 1),
        ("9223372036854775808", 2**63),
        ("18446744073709551615", UINT64_MAX),
        ("-9223372036854775808", INT64_MIN),
        ("9007199254740993", 9007199254740993),
        ("18446744073709551616", JsonText("18446744073709551616")),
        ("-9223372036854775809", JsonText("-9223372036854775809")),
        ("9007199254740993.0", JsonText("9007199254740993.0")),
        ("10000000000000000000000", 1e22),
        ("0.1", 0.1),
        ("1.50", 1.5),
        ("1e2", 100.0),
        ("-0", 0),
        ("1.7976931348623157e308", 1.7976931348623157e308),
        ("5e-324", 5e-324),
        ("1e-400", JsonText("1e-400")),
        ("1e-99999999999999999999", JsonText("1e-99999999999999999999")),
        ("0.1000000000000000055", JsonText("0.1000000000000000055")),
    ],
)
def test_numbers_at_the_edges_keep_their_digits(text, value):
    assert typed(text) == value
    assert type(typed(text)) is type(value)


def test_a_negative_zero_with_a_fraction_keeps_its_sign():
    assert math.copysign(1, typed("-0.0")) == -1


@pytest.mark.parametrize(
    "text", ["1e400", "-1e309", "1" + "0" * 400, "[1,[-1e999]]", '{"a":1e400}']
)
def test_a_number_beyond_a_double_is_refused_at_any_depth(text):
    with pytest.raises(ValueError, match="beyond a double"):
        typed(text)


@quick
@given(json_texts())
def test_parse_loses_neither_digits_nor_repeated_keys(text):
    def rebuilt(tree):
        if isinstance(tree, JsonNumber):
            return tree.text
        if isinstance(tree, JsonObject):
            return ("object", [(key, rebuilt(member)) for key, member in tree.pairs])
        return [rebuilt(member) for member in tree] if isinstance(tree, list) else tree

    try:
        tree = parse_json(text)
    except JsonError:
        assert "\\ud800" in text
        return
    assert rebuilt(tree) == pairs(text)


@quick
@given(json_texts())
def test_arrays_and_objects_become_compact_text_of_the_same_meaning(text):
    try:
        value = typed(text)
    except ValueError:
        return
    if isinstance(value, JsonText):
        assert pairs(value.text) == pairs(text)
        assert bare(value.text) == value.text


@thorough
@given(json_texts().flatmap(lambda text: mutations(text.encode())) | st.binary(max_size=40))
def test_parse_refuses_whatever_json_refuses_with_its_own_error_only(data):
    try:
        parse_json(data)
    except JsonError:
        return
    assert json_accepts(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" ",
        b"\xff",
        b"\xed\xa0\x80",
        b"\xef\xbb\xbf{}",
        b"NaN",
        b"-Infinity",
        b"{} x",
        b"01",
        b"1.",
        b".5",
        b"+1",
        b'"\n"',
        b"'a'",
        b"[1,]",
        b"{,}",
        b"nul",
        b"\x0c1",
        b"1\xc2\xa0",
    ],
)
def test_what_is_no_json_is_refused(data):
    with pytest.raises(JsonError):
        parse_json(data)


@pytest.mark.parametrize(
    "text",
    [
        r'"\ud800"',
        r'["\udfff"]',
        r'{"\ud800":1}',
        r'{"a":"\uD83Dx"}',
        r'"\ude00\ud83d"',
        f'"{chr(0xD800)}"',
        f'{{"{chr(0xDC80)}":1}}',
    ],
)
def test_a_lone_surrogate_is_refused_escaped_or_not(text):
    with pytest.raises(JsonError):
        parse_json(text)


def test_a_pair_of_surrogates_is_a_character():
    assert parse_json(r'"\uD83D\ude00"') == "\U0001f600"


@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 1000, 100_000])
def test_nesting_beyond_reason_is_refused(opening, depth):
    closing = "]" if opening == "[" else "}"
    with pytest.raises(JsonError):
        parse_json(opening * depth + "1" + closing * depth)


def test_nesting_within_reason_is_read_and_printed_again():
    text = "[" * (MAX_DEPTH - 2) + "1" + "]" * (MAX_DEPTH - 2)
    assert typed(text) == JsonText(text)


kinds = (
    st.none()
    | st.booleans()
    | st.integers(INT64_MIN, UINT64_MAX)
    | st.floats(allow_nan=False, allow_infinity=False)
    | surrogate_free
    | number_texts.map(JsonText)
)


@thorough
@given(kinds, kinds)
def test_canonical_text_is_equal_only_for_equal_kind_and_digits(one, other):
    equal = type(one) is type(other) and repr(one) == repr(other)
    if JsonText in (type(one), type(other)) and type(one) is not type(other):
        return  # text that is a shorter kind's never comes out of value_of
    assert (canonical(one) == canonical(other)) == equal


def test_one_the_double_true_and_the_text_are_four_values():
    assert len({canonical(typed(text)) for text in ["1", "1.0", "true", '"1"']}) == 4


@pytest.mark.parametrize(
    ("key", "folded"),
    [
        ("ENTITY", "entity"),
        ("\u017fort", "sort"),  # LONG S
        ("value\u017f", "values"),
        ("\u212aind", "kind"),  # KELVIN SIGN
        ("L\u0130M\u0130T", "l\u0130m\u0130t"),  # I WITH DOT: simple folding leaves it
        ("l\u0131mit", "l\u0131mit"),  # DOTLESS I
        ("\ufb01", "\ufb01"),  # a ligature has no simple folding
        ("\u00c9", "\u00e9"),
    ],
)
def test_keys_fold_as_go_folds_them(key, folded):
    assert fold_key(key) == folded


@quick
@given(surrogate_free)
def test_folding_keeps_the_length_and_is_idempotent(key):
    assert len(fold_key(key)) == len(key)
    assert fold_key(fold_key(key)) == fold_key(key)
