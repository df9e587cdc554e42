import json

import pytest

from bridge.core.errors import Failed, Kind
from bridge.wire.v1_messages import (
    ended_reason,
    error_members,
    format_message,
    frames_prefix,
    rfc3339,
)


def test_messages_are_one_object_without_what_is_none():
    assert (
        format_message("live", sub="<\u2028s", reason=None)
        == '{"type":"live","sub":"<\u2028s"}'.encode()
    )
    assert json.loads(frames_prefix('a"b') + b'"frames":[]}') == {
        "type": "frames",
        "sub": 'a"b',
        "frames": [],
    }


def test_an_error_has_the_members_of_its_row_and_milliseconds():
    failure = Failed(Kind.QUOTA, "too many", retry_after=1.5)
    assert error_members(failure, "s") == {
        "sub": "s",
        "code": "RESOURCE_EXHAUSTED",
        "status": 429,
        "message": "too many",
        "field": None,
        "retryable": True,
        "retry_after_ms": 1500,
    }


@pytest.mark.parametrize("kind", Kind)
def test_every_end_has_a_reason_of_the_contract(kind):
    assert ended_reason(Failed(kind, "x"), asked=False) in ("denied", "unavailable", "failed")


def test_an_end_without_failure_is_unsubscribed_or_completed():
    assert ended_reason(None, asked=True) == "unsubscribed"
    assert ended_reason(None, asked=False) == "completed"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (None, None),
        (0, "1970-01-01T00:00:00Z"),
        (1.9, "1970-01-01T00:00:01Z"),
        (-0.5, "1969-12-31T23:59:59Z"),
        (-6e10, "0068-09-03T13:20:00Z"),
        (-62_135_596_801, "0001-01-01T00:00:00Z"),
        (-1e300, "0001-01-01T00:00:00Z"),
        (253_402_300_799.9, "9999-12-31T23:59:59Z"),
        (float("inf"), "9999-12-31T23:59:59Z"),
    ],
)
def test_a_time_is_told_to_the_second_below_and_one_without_a_year_as_the_nearest_that_has_one(
    seconds, told
):
    assert rfc3339(seconds) == told
