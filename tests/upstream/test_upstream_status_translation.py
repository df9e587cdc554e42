"""gRPC status → Failed, whatever the details hold."""

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from bridge.core.errors import Kind, StatusSource
from bridge.upstream.http2.status import CallStatus
from bridge.upstream.status_translation import failure_of_status, is_from_tier

SECRET = "panic at tier-7.internal:5000"


def error(code, *details, text=SECRET, raw=None):
    status = status_pb2.Status(code=code.value[0], message=text)
    for message in details:
        packed = any_pb2.Any()
        packed.Pack(message)
        status.details.append(packed)
    wire = status.SerializeToString() if raw is None else raw
    return CallStatus(code.name, text, wire)


def info(reason="", *, domain="livequery.v1", **metadata):
    return error_details_pb2.ErrorInfo(domain=domain, reason=reason, metadata=metadata)


KINDS = {
    "INVALID_ARGUMENT": Kind.BAD_QUERY,
    "UNAUTHENTICATED": Kind.UNAUTHENTICATED,
    "PERMISSION_DENIED": Kind.DENIED,
    "NOT_FOUND": Kind.NOT_FOUND,
    "FAILED_PRECONDITION": Kind.CONFLICT,
    "OUT_OF_RANGE": Kind.CONFLICT,
    "ALREADY_EXISTS": Kind.CONFLICT,
    "RESOURCE_EXHAUSTED": Kind.QUOTA,
    "UNIMPLEMENTED": Kind.UNIMPLEMENTED,
    "UNAVAILABLE": Kind.UNAVAILABLE,
    "ABORTED": Kind.UNAVAILABLE,
    "CANCELLED": Kind.UNAVAILABLE,
    "DEADLINE_EXCEEDED": Kind.DEADLINE,
    "INTERNAL": Kind.BROKEN,
    "UNKNOWN": Kind.BROKEN,
    "DATA_LOSS": Kind.BROKEN,
}


@pytest.mark.parametrize("code", [c for c in grpc.StatusCode if c is not grpc.StatusCode.OK])
def test_every_code_is_a_row_and_keeps_its_name_and_no_internal_text(code):
    failed = failure_of_status(error(code))
    assert failed.kind is KINDS[code.name]
    assert failed.code == code.name
    assert SECRET not in failed.text()


@pytest.mark.parametrize(
    "raw", [b"\xff", b"\x00" * 50, b"\x1a\xff\xff\xff\xff\x0f", bytes(range(256))]
)
def test_garbage_details_are_no_details(raw):
    failed = failure_of_status(error(grpc.StatusCode.NOT_FOUND, raw=raw))
    assert failed.kind is Kind.NOT_FOUND
    assert failed.field is None


def test_a_detail_that_does_not_match_its_type_is_ignored():
    status = status_pb2.Status(code=5)
    for kind in ("ErrorInfo", "RetryInfo", "LocalizedMessage"):
        status.details.add(type_url=f"type.googleapis.com/google.rpc.{kind}", value=b"\xff\xff")
    status.details.add(type_url="type.example/none", value=b"1")
    packed = any_pb2.Any()
    packed.Pack(info("UNKNOWN_ENTITY", field="entity"))
    status.details.append(packed)
    failed = failure_of_status(error(grpc.StatusCode.NOT_FOUND, raw=status.SerializeToString()))
    assert failed.field == "entity"
    assert failed.message.endswith("unknown entity")


def test_a_status_without_details_is_fine():
    bare = CallStatus("UNAVAILABLE")
    assert failure_of_status(bare).kind is Kind.UNAVAILABLE
    assert not is_from_tier(bare)


@pytest.mark.parametrize(
    ("seconds", "nanos", "told"), [(7, 0, 7), (0, 500_000_000, 0.5), (-3, 0, 0)]
)
def test_retry_info_is_the_retry_time(seconds, nanos, told):
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.seconds, retry.retry_delay.nanos = seconds, nanos
    assert failure_of_status(error(grpc.StatusCode.UNAVAILABLE, retry)).retry_after == told


def test_without_retry_info_there_is_no_retry_time():
    # The feed would take our guess for the tier's wish and wait for it.
    assert failure_of_status(error(grpc.StatusCode.UNAVAILABLE)).retry_after is None
    assert failure_of_status(error(grpc.StatusCode.RESOURCE_EXHAUSTED)).retry_after is None


def test_a_localized_message_is_passed_on_in_one_line_without_control_characters():
    text = error_details_pb2.LocalizedMessage(
        locale="en", message="no\r\nsuch\x00\x1b[31m\u2028day" + "x" * 999
    )
    failed = failure_of_status(error(grpc.StatusCode.NOT_FOUND, text))
    assert failed.message.startswith("no such [31m day")
    assert failed.message.isprintable()
    assert len(failed.message) <= 300


def test_a_field_is_passed_on_without_control_characters():
    failed = failure_of_status(error(grpc.StatusCode.INVALID_ARGUMENT, info(field="a\nb")))
    assert failed.field == "a b"


def test_error_info_of_a_foreign_domain_is_not_the_tiers():
    foreign = info("TOO_LARGE", domain="proxy.example", field="x")
    failed = failure_of_status(error(grpc.StatusCode.RESOURCE_EXHAUSTED, foreign))
    assert (failed.kind, failed.field) == (Kind.QUOTA, None)
    assert not is_from_tier(error(grpc.StatusCode.UNAVAILABLE, foreign))


def test_too_large_is_by_reason_or_by_our_own_limit():
    by_reason = error(grpc.StatusCode.RESOURCE_EXHAUSTED, info("TOO_LARGE"))
    ours = error(
        grpc.StatusCode.RESOURCE_EXHAUSTED, text="Received message larger than max (5 vs. 4)"
    )
    assert failure_of_status(by_reason).kind is failure_of_status(ours).kind is Kind.TOO_LARGE


def test_a_reason_that_is_not_an_identifier_is_not_passed_on():
    failed = failure_of_status(error(grpc.StatusCode.NOT_FOUND, info("<script>tier-7</script>")))
    assert "tier-7" not in failed.message


def test_errors_of_the_tier_are_told_from_those_of_a_lost_connection():
    for code in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNAUTHENTICATED):
        assert is_from_tier(error(code))
    for code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN):
        assert not is_from_tier(error(code))
        assert is_from_tier(error(code, info("STOPPING")))


DERIVED = {
    "UNAVAILABLE": (Kind.UNAVAILABLE, "UNAVAILABLE"),
    "CANCELLED": (Kind.UNAVAILABLE, "CANCELLED"),
    "RESOURCE_EXHAUSTED": (Kind.UNAVAILABLE, "UNAVAILABLE"),
    "INTERNAL": (Kind.BROKEN, "INTERNAL"),
    "UNKNOWN": (Kind.BROKEN, "UNKNOWN"),
    "UNAUTHENTICATED": (Kind.BROKEN, "INTERNAL"),
    "PERMISSION_DENIED": (Kind.BROKEN, "INTERNAL"),
    "UNIMPLEMENTED": (Kind.BROKEN, "INTERNAL"),
}


@pytest.mark.parametrize("source", [source for source in StatusSource if source.derived])
@pytest.mark.parametrize("code", DERIVED)
def test_a_derived_status_is_never_a_verdict_on_query_or_credential(code, source):
    status = CallStatus(code, "HTTP status 403, and no gRPC", source=source)
    failed = failure_of_status(status)
    assert (failed.kind, failed.code) == DERIVED[code]
    assert failed.source is source
    assert not failed.final
    assert failed.row.retryable
    assert "403" not in failed.message
    assert not is_from_tier(status)
