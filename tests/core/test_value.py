import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.json_tree import MAX_DEPTH, parse_json
from bridge.core.value import INT64_MIN, UINT64_MAX, JsonText, canonical_text, value_from_tree
from core_makers import json_texts, number_texts, quick, surrogate_free, thorough
from core_oracles import bare, pairs


def typed(text):
    return value_from_tree(parse_json(text))


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
def test_arrays_and_objects_become_compact_text_of_the_same_meaning(text):
    try:
        value = typed(text)
    except ValueError:
        return
    if isinstance(value, JsonText):
        assert pairs(value.text) == pairs(text)
        assert bare(value.text) == value.text


def test_nesting_within_reason_is_read_and_formatted_again():
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
        return  # text that is a shorter kind's never comes out of value_from_tree
    assert (canonical_text(one) == canonical_text(other)) == equal


def test_one_the_double_true_and_the_text_are_four_values():
    assert len({canonical_text(typed(text)) for text in ["1", "1.0", "true", '"1"']}) == 4
