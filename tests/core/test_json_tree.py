import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.json_tree import (
    MAX_DEPTH,
    JsonError,
    JsonNumber,
    JsonObject,
    compact_size,
    fold_key,
    format_tree,
    parse_json,
)
from core_makers import json_texts, mutations, number_texts, quick, surrogate_free, thorough
from core_oracles import bare, json_accepts, pairs

trees = st.recursive(
    st.none() | st.booleans() | st.text(st.characters(exclude_categories=["Cs"]))
    | number_texts.map(JsonNumber),
    lambda inner: st.lists(inner, max_size=4)
    | st.lists(st.tuples(surrogate_free, inner), max_size=4).map(JsonObject),
    max_leaves=20,
)  # fmt: skip


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


@thorough
@given(trees)
def test_the_compact_size_is_that_of_the_formatted_text(tree):
    assert compact_size(tree) == len(format_tree(tree).encode())


@thorough
@given(json_texts())
def test_compact_text_has_the_same_meaning_no_white_space_and_is_never_longer(text):
    try:
        tree = parse_json(text)
    except JsonError:
        return
    compact = format_tree(tree)
    assert pairs(compact) == pairs(text)
    assert bare(compact) == compact
    assert compact_size(tree) <= len(text.encode())


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ('"\\u0000\\u001f\\u007f"', 2 + 6 + 6 + 1),
        ('"\\b\\f\\n\\r\\t\\"\\\\"', 2 + 7 * 2),
        ('"\\/\\u003c\\u2028"', 2 + 1 + 1 + 3),
        ('"\\ud83d\\ude00\u00e9"', 2 + 4 + 2),
        ("[ ]", 2),
        ("{ }", 2),
        ("[1, 2.50 ,null]", 13),
        ('{"a" : true, "a" : false}', 20),
    ],
)
def test_a_compact_size_counts_bytes_of_utf_8_and_the_escapes_that_json_needs(text, size):
    assert compact_size(parse_json(text)) == size
