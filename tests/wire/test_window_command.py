"""What may be asked of a window over plain HTTP, as text (docs/wire.md §8)."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.core.errors import Failed, Kind
from bridge.wire.window_command import parse_wait, parse_window_body

QUERY = {"entity": "f", "limit": 3}


def read(tree, max_limit=1000):
    return parse_window_body(json.dumps(tree).encode(), max_limit=max_limit)


def test_a_body_is_a_query_or_wraps_one():
    bare = read(QUERY)
    assert (bare.since, bare.known) == (None, None)
    assert read({"query": QUERY}) == bare
    assert read({"Query": {"query": {}}, "QUERY": QUERY}) == bare  # the last repeat wins
    assert read({**QUERY, "query": 7}) == bare  # an unknown key of a query


def test_a_wrapped_body_says_what_the_client_has():
    command = read({"query": QUERY, "since": "x.1", "known": [["b", 2], ["a", 1]]})
    assert command.since == "x.1"
    assert [(row.agg_id, row.version) for row in command.known] == [("b", 2), ("a", 1)]
    assert read({"query": QUERY, "since": None, "known": None}) == read(QUERY)
    assert read({"query": QUERY, "known": []}).known == ()


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=60) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["query", "since", "known", "entity", "limit"]), inner),
    max_leaves=12,
).map(lambda tree: json.dumps(tree).encode()))  # fmt: skip
def test_whatever_the_body_is_it_is_read_or_refused(body):
    refused = []
    try:
        parse_window_body(body, max_limit=10)
    except Failed as failure:
        refused.append(failure)
    assert all(f.kind in (Kind.MALFORMED, Kind.BAD_QUERY) and f.field for f in refused)


@pytest.mark.parametrize(("text", "seconds"), [("1", 1), ("60", 60), ("007", 7)])
def test_a_wait_is_whole_seconds(text, seconds):
    assert parse_wait(text) == seconds
