import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.frame_encoding import encode, encode_cursor, encode_plain
from bridge.core.gojson import UnreadableError, encode_string, escape, unescaped_row
from bridge.core.plain_json import is_plain, is_plain_text
from core_makers import json_texts, members_of, mutations, thorough

PLAIN = [
    b"{}",
    b"[]",
    b"0",
    b'"a b"',
    b"[true,false,null,-0.5e+10,12,1E5,-0]",
    b'{"a":{"b":[{},[]],"c":"\\n\\"\\\\\\/"},"d":1}',
    '{"é":"日本 ü"}'.encode(),
    b"[" * 60 + b"]" * 60,
]
NOT_JSON = [
    b"",
    b"{",
    b"[",
    b'"a',
    b'"a\\',
    b"01",
    b"-",
    b"1.",
    b"1.e5",
    b"1e",
    b"1e+",
    b".5",
    b"+1",
    b"tru",
    b"truf",
    b"nan",
    b"[1,]",
    b"[,1]",
    b"[1 2]",
    b'{"a":1,}',
    b'{"a"}',
    b'{"a":}',
    b"{1:2}",
    b"{}{}",
    b"[}",
    b"{]",
    b'[{"a":1]}',
    b'"\\x"',
    b'"\n"',
    b'"\xff"',
    b'"\xc3"',
    b'["\xed\xa0\x80"]',
]
OTHER_JSON = [
    b'{"a": 1}',
    b" 1",
    b"1\n",
    b'"<"',
    b'">"',
    b'"&"',
    b'"\\u0041"',
    '"\u2028"'.encode(),
    b"[" * 61 + b"]" * 61,
]


@pytest.mark.parametrize("text", PLAIN)
def test_what_stands_for_itself_is_plain(text):
    assert is_plain(text)
    assert escape(unescaped_row(text)) == text


@pytest.mark.parametrize("text", NOT_JSON)
def test_what_is_no_json_is_not_plain(text):
    assert not is_plain(text)
    with pytest.raises(UnreadableError):
        unescaped_row(text)


@pytest.mark.parametrize("text", OTHER_JSON)
def test_json_that_is_changed_or_seldom_is_left_to_others(text):
    assert not is_plain(text)
    unescaped_row(text)


@thorough
@given(st.data())
def test_plain_text_is_json_that_clients_are_sent_as_it_is(data):
    text = data.draw(json_texts()).encode(errors="surrogatepass")
    changed = data.draw(st.just(text) | mutations(text))
    if is_plain(changed):
        assert escape(unescaped_row(changed)) == changed


@thorough
@given(json_texts())
def test_all_but_spaces_and_what_is_escaped_is_plain(text):
    row = text.encode(errors="surrogatepass")
    changed = escape(unescaped_row(row)) != row
    assert is_plain(row) or changed or b"\\u" in row or b"\xe2" in row or b"\x7f" in row


@thorough
@given(st.text() | st.text('ab<\\"\x7f\né'))
def test_a_plain_text_is_the_content_of_its_string(text):
    content = text.encode(errors="surrogatepass")
    is_common = content.isascii() and b"\x7f" not in content
    assert is_plain_text(content) is (is_common and encode_string(text) == b'"%b"' % content)


texts = st.sampled_from(["", "a", "row-1", "1-0", "<", "é", 'a"', "a\nb"])
numbers = st.sampled_from([-1, 0, 1, 1023, 1024, 2**63 - 1])


@thorough
@given(
    st.integers(-1, 9), texts, numbers, st.sampled_from([b"", *PLAIN, *NOT_JSON, *OTHER_JSON]),
    numbers, numbers, st.sampled_from([None, (), ("a", 1), (float("nan"),)]), texts,
)  # fmt: skip
def test_a_delta_in_bytes_makes_the_frame_that_its_texts_make(
    op, agg_id, version, row, old, new, cursor, stream_id
):
    read = encode_plain(
        op,
        agg_id.encode(),
        agg_id,
        version,
        row,
        old,
        new,
        encode_cursor(cursor),
        stream_id.encode(),
        7.0,
    )
    assert members_of(read) == members_of(
        encode(op, agg_id, version, row, old, new, cursor, stream_id, 7.0)
    )
