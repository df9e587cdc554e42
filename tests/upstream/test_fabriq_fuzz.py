"""Whatever fabriq prints, it is a frame that clients can read, or it is unreadable."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.core.frame import UnreadableFrame
from bridge.upstream.fabriq.frame_parser import parse_delta, parse_snapshot
from fabriq_tier import delta_json, row, snapshot_json

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just("\ud800")
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
DELTA = json.loads(delta_json(0, "a", -1, 0))
SNAPSHOT = json.loads(snapshot_json(row("a"), row("b")))


def readable(frame):
    """A frame without data says why; any other is JSON in one line."""
    if not frame.data:
        assert isinstance(frame, UnreadableFrame)
        assert frame.reason
    else:
        assert b"\n" not in frame.data
        assert b"\r" not in frame.data
        told = json.loads(frame.data)
        assert list(told)[:1] == ["op"]
        assert told.get("agg_id", "") == frame.agg_id
        assert isinstance(told["cursor"]["values"], list | None)


def mutated(data, document):
    """Replace a byte or a member, or cut."""
    text = json.dumps(document).encode()
    at = data.draw(st.integers(0, len(text)))
    kind = data.draw(st.sampled_from(("byte", "cut", "insert")))
    piece = data.draw(st.binary(max_size=3))
    return {
        "byte": text[:at] + piece[:1] + text[at + 1 :],
        "cut": text[:at],
        "insert": text[:at] + piece + text[at:],
    }[kind]


@settings(deadline=None)
@given(st.sampled_from(sorted(DELTA)), TREES)
def test_a_delta_with_a_member_of_any_kind(member, tree):
    readable(parse_delta(json.dumps({**DELTA, member: tree}).encode()))


@settings(deadline=None)
@given(st.sampled_from(sorted(SNAPSHOT["Rows"][0])), TREES)
def test_a_snapshot_with_a_row_of_any_kind(member, tree):
    rows = [SNAPSHOT["Rows"][0], {**SNAPSHOT["Rows"][1], member: tree}]
    _, batch = parse_snapshot(json.dumps({**SNAPSHOT, "Rows": rows}).encode())
    assert len(batch.deltas) in (1, 3)
    for frame in batch.deltas:
        readable(frame)


@settings(deadline=None)
@given(st.data())
def test_bytes_that_were_damaged(data):
    for parse, document in ((parse_delta, DELTA), (parse_snapshot, SNAPSHOT)):
        parsed = parse(mutated(data, document))
        for frame in parsed[1].deltas if isinstance(parsed, tuple) else (parsed,):
            readable(frame)
