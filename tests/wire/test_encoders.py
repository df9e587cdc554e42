import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.errors import Failed, Kind
from bridge.wire import encodings
from bridge.wire.encoders import CoreSseEncoder, CoreWsEncoder, V1SseEncoder, V1WsEncoder
from core_makers import bundles, quick
from core_oracles import dechunk, parse_sse, parse_ws

several_bundles = st.lists(bundles(), min_size=1, max_size=4)


def digest():
    return "00000000"


def no_digest():
    return None


def message_of(data):
    [(opcode, payload)] = parse_ws(data)
    assert opcode == 1
    return json.loads(payload)


def event_of(data):
    [(name, data, last_id)] = parse_sse(data)
    assert not last_id
    return name, json.loads(data)


@pytest.mark.parametrize(
    "encoder", [CoreWsEncoder(), CoreSseEncoder(chunked=False, holds_id=False)]
)
def test_core_has_frames_and_no_other_messages(encoder):
    assert encoder.ready(3, "snapshot", digest) == b""
    assert encoder.state("unavailable") == encoder.state(None) == b""
    assert encoder.resets


@quick
@given(
    st.sampled_from(
        [
            CoreWsEncoder,
            lambda: CoreSseEncoder(chunked=True, holds_id=True),
            lambda: CoreSseEncoder(chunked=False, holds_id=False),
            lambda: V1SseEncoder(chunked=True),
            lambda: V1SseEncoder(chunked=False),
        ]
    ),
    several_bundles,
)
def test_where_a_shared_encoding_applies_its_bytes_are_those_of_the_encoder(make, several):
    encoder = make()
    for bundle in several:
        shared = encoder.shared
        data = encoder.frames(bundle)
        if shared.applies_to(bundle):
            assert data is shared.encode(bundle)
            assert encoder.shared is shared


@quick
@given(st.booleans(), several_bundles)
def test_a_core_event_stream_never_leaves_an_id_beside_frames_without_one(holds_id, several):
    encoder = CoreSseEncoder(chunked=False, holds_id=holds_id)
    stream = b"id: 0-0\n\n" if holds_id else b""
    for bundle in several:
        stream += encoder.frames(bundle)
    groups = [group for bundle in several for group in bundle.groups]
    assert [(data.encode(), last_id) for _, data, last_id in parse_sse(stream)] == [
        (frame.data, group.stream_id) for group in groups for frame in group.frames
    ]
    held = [holds_id, *(bool(group.stream_id) for group in groups)]
    cleared = sum(had and not has for had, has in pairwise(held))
    assert stream.count(b"id:\n\n") == cleared


@quick
@given(st.booleans(), several_bundles)
def test_a_chunked_event_stream_has_the_bytes_of_the_plain_one(holds_id, several):
    for one, other in (
        (
            CoreSseEncoder(chunked=True, holds_id=holds_id),
            CoreSseEncoder(chunked=False, holds_id=holds_id),
        ),
        (V1SseEncoder(chunked=True), V1SseEncoder(chunked=False)),
    ):
        for bundle in several:
            assert dechunk(one.frames(bundle)) == other.frames(bundle)
        assert dechunk(one.ping()) == other.ping() == b": ping\n\n"
        assert parse_sse(other.ping()) == []


@quick
@given(bundles())
def test_v1_messages_on_one_position_differ_in_the_clients_name_only(bundle):
    for sub in ("s", 'a"b<', "\u00e9" * 64):
        message = message_of(V1WsEncoder(sub).frames(bundle))
        assert message == {
            "type": "frames",
            "sub": sub,
            "pos": bundle.position,
            "frames": [json.loads(frame.data) for frame in bundle],
        }
    assert bundle.encoded(encodings.v1_ws_suffix) in V1WsEncoder("s").frames(bundle)


@quick
@given(bundles())
def test_v1_clients_that_chose_the_same_short_name_share_their_bytes(bundle):
    one, same, other, drawn = map(V1WsEncoder, ("orders", "orders", "order", "x" * 17))
    assert one.shared == same.shared != other.shared
    assert hash(one.shared) == hash(same.shared)
    assert one.frames(bundle) is same.frames(bundle) is one.shared.encode(bundle)
    assert drawn.shared is None


def test_v1_over_websocket_has_messages_for_ready_stale_and_live():
    encoder = V1WsEncoder("s")
    assert message_of(encoder.ready(3, "diff", digest)) == {
        "type": "ready", "sub": "s", "rows": 3, "resumed": "diff", "digest": "00000000",
    }  # fmt: skip
    assert "digest" not in message_of(encoder.ready(3, "diff", no_digest))
    assert message_of(encoder.state("unavailable")) == {
        "type": "stale", "sub": "s", "reason": "unavailable",
    }  # fmt: skip
    assert message_of(encoder.state(None)) == {
        "type": "live", "sub": "s", "reason": "resubscribed",
    }  # fmt: skip


def test_v1_over_sse_has_the_same_messages_as_events_without_the_name():
    encoder = V1SseEncoder(chunked=False)
    assert event_of(encoder.ready(3, "diff", digest)) == (
        "ready",
        {"type": "ready", "rows": 3, "resumed": "diff", "digest": "00000000"},
    )
    assert event_of(encoder.state("unavailable")) == (
        "stale",
        {"type": "stale", "reason": "unavailable"},
    )
    assert event_of(encoder.state(None)) == ("live", {"type": "live", "reason": "resubscribed"})
    assert dechunk(V1SseEncoder(chunked=True).state(None)) == encoder.state(None)


def test_an_error_over_sse_is_an_event_named_problem():
    encoder = V1SseEncoder(chunked=False)
    ended = encoder.ended(None)
    assert event_of(ended) == ("ended", {"type": "ended", "reason": "completed"})
    both = encoder.ended(Failed(Kind.DENIED, "not you"))
    problem, _, last = both.partition(b"\n\n")
    assert event_of(last) == ("ended", {"type": "ended", "reason": "denied"})
    name, error = event_of(problem + b"\n\n")
    assert (name, error["type"], error["code"]) == ("problem", "error", "PERMISSION_DENIED")
    passing = encoder.ended(Failed(Kind.UNAVAILABLE, "later"))
    assert event_of(passing) == ("ended", {"type": "ended", "reason": "unavailable"})


def test_v1_over_sse_has_beats_and_drains_and_core_has_none():
    v1, core = V1SseEncoder(chunked=False), CoreSseEncoder(chunked=False, holds_id=False)
    assert event_of(v1.beat("00000000")) == ("beat", {"type": "beat", "digest": "00000000"})
    assert event_of(v1.beat(None)) == ("beat", {"type": "beat"})
    assert event_of(v1.drain(7)) == ("drain", {"type": "drain", "reconnect_after_ms": 7})
    assert (v1.sends_beats, core.sends_beats) == (True, False)
    assert core.beat("0") == core.drain(7) == core.ended(Failed(Kind.DENIED, "no")) == b""


def test_a_stream_begins_with_retry_and_ends_with_the_last_chunk_where_it_has_chunks():
    for chunked in (False, True):
        encoder = V1SseEncoder(chunked=chunked)
        retry = encoder.retry(2500)
        assert (dechunk(retry) if chunked else retry) == b"retry: 2500\n"
        assert encoder.end() == (b"0\r\n\r\n" if chunked else b"")


@quick
@given(st.booleans(), st.booleans(), several_bundles)
def test_retry_is_in_the_first_event_behind_a_block_that_clears_the_id(chunked, holds_id, several):
    encoder = CoreSseEncoder(chunked=chunked, holds_id=holds_id)
    plain = CoreSseEncoder(chunked=False, holds_id=holds_id)
    stream = encoder.retry(2500) + b"".join(map(encoder.frames, several))
    expected = b"".join(map(plain.frames, several))
    clear = b"id:\n\n" if expected.startswith(b"id:\n") else b""
    expected = clear + b"retry: 2500\n" + expected.removeprefix(clear)
    assert (dechunk(stream) if chunked else stream) == expected
    assert encoder.end() == (b"0\r\n\r\n" if chunked else b"")


@pytest.mark.parametrize("holds_id", [False, True])
def test_a_stream_without_events_says_retry_all_the_same(holds_id):
    encoder = CoreSseEncoder(chunked=False, holds_id=holds_id)
    assert encoder.retry(2500) + encoder.end() == b"retry: 2500\n"
