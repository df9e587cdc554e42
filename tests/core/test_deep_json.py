"""JSON that Python's parsers give up on."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.deep_json import MAX_DEPTH, is_json
from bridge.core.gojson import UnreadableError, unescaped_row

TOKENS = ["[", "]", "{", "}", ",", ":", '"a"', '"\\u00e4"', '"\\x"', '"', "1", "-", "01", "1.5e-3"]
TOKENS += ["true", "nul", " ", "\n", "\x00", "\u00a0", '"\t"', "1.", "-0", "NaN", '""']


def python_takes(text):
    def refuse(name):
        raise ValueError(name)

    try:
        json.loads(text, parse_constant=refuse)
    except ValueError:
        return False
    return True


@given(st.lists(st.sampled_from(TOKENS), max_size=12).map("".join))
def test_it_takes_what_python_takes(text):
    assert is_json(text) == python_takes(text)


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.text()
        | st.floats(allow_nan=False, allow_infinity=False),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_it_takes_what_is_json(tree):
    assert is_json(json.dumps(tree))
    assert is_json(json.dumps(tree, ensure_ascii=False, indent=1))


@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("depth", [500, 900, 950, 990, 1000, 1100, 5000, MAX_DEPTH])
def test_a_row_passes_however_deep_it_is_and_however_deep_its_reader(opening, depth):
    row = (opening * depth + "1" + ("]" if opening == "[" else "}") * depth).encode()

    def read(deeper):
        return read(deeper - 1) if deeper else unescaped_row(row)

    assert read(0) == read(200) == row
    with pytest.raises(UnreadableError):
        unescaped_row(row[:-1])


def test_a_row_beyond_the_depth_of_the_original_is_unreadable():
    depth = MAX_DEPTH + 1
    with pytest.raises(UnreadableError):
        unescaped_row(b"[" * depth + b"]" * depth)
