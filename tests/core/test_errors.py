import pytest

from bridge.core.errors import FAILURES, FROM_GRPC, Failed, Kind

# docs/wire.md §6, line by line: kinds, HTTP status, close code.
CONTRACT = [
    (["MALFORMED", "BAD_QUERY"], 400, 4500),
    (["UNAUTHENTICATED"], 401, 4501),
    (["DENIED"], 403, 4503),
    (["NOT_FOUND"], 404, 4504),
    (["CONFLICT"], 409, 4509),
    (["TOO_LARGE"], 413, 4513),
    (["MESSAGE_TOO_LARGE"], 413, 1009),
    (["QUOTA"], 429, 4003),
    (["UNIMPLEMENTED"], 501, 4512),
    (["UNAVAILABLE"], 503, 1013),
    (["DEADLINE"], 504, 1013),
    (["BROKEN"], 502, 1011),
]
STREAM_ENDS = {
    "TOO_SLOW": 4000,
    "EXPIRED": 4001,
    "NO_PONG": 4002,
    "NO_FIRST_MESSAGE": 4005,
    "DRAINING": 1001,
}
GRPC = {
    "BAD_QUERY": ["INVALID_ARGUMENT"],
    "UNAUTHENTICATED": ["UNAUTHENTICATED"],
    "DENIED": ["PERMISSION_DENIED"],
    "NOT_FOUND": ["NOT_FOUND"],
    "CONFLICT": ["FAILED_PRECONDITION", "OUT_OF_RANGE", "ALREADY_EXISTS"],
    "QUOTA": ["RESOURCE_EXHAUSTED"],
    "UNIMPLEMENTED": ["UNIMPLEMENTED"],
    "UNAVAILABLE": ["UNAVAILABLE", "ABORTED", "CANCELLED"],
    "DEADLINE": ["DEADLINE_EXCEEDED"],
    "BROKEN": ["INTERNAL", "UNKNOWN", "DATA_LOSS"],
}


@pytest.mark.parametrize(("kinds", "status", "close"), CONTRACT)
def test_the_table_is_the_contracts(kinds, status, close):
    for kind in kinds:
        row = FAILURES[Kind[kind]]
        assert (row.status, row.close_code) == (status, close)


@pytest.mark.parametrize(("kind", "close"), STREAM_ENDS.items())
def test_a_stream_ends_with_the_contracts_close_code(kind, close):
    assert FAILURES[Kind[kind]].close_code == close


def test_every_kind_has_one_row_and_every_row_is_tested():
    tested = {kind for kinds, *_ in CONTRACT for kind in kinds} | STREAM_ENDS.keys()
    assert {kind.name for kind in FAILURES} == {kind.name for kind in Kind} == tested


def test_every_grpc_status_but_ok_is_a_kind():
    assert {status: kind.name for status, kind in FROM_GRPC.items()} == {
        status: kind for kind, statuses in GRPC.items() for status in statuses
    }
    assert len(FROM_GRPC) == 16


@pytest.mark.parametrize("kind", Kind)
def test_final_is_the_close_codes_4500_and_up_and_never_retryable(kind):
    failure = Failed(kind, "no")
    assert failure.final == (failure.row.close_code >= 4500)
    assert not (failure.final and failure.row.retryable)


def test_a_failure_has_one_line_of_text_with_its_field():
    assert Failed(Kind.BAD_QUERY, "too big", field="limit").text() == "limit: too big"
    assert Failed(Kind.QUOTA, "too many", retry_after=2).text() == "too many"


def test_the_tiers_own_code_is_kept_where_several_share_a_row():
    assert Failed(Kind.CONFLICT, "x", code="OUT_OF_RANGE").code == "OUT_OF_RANGE"
    assert Failed(Kind.CONFLICT, "x").code == "FAILED_PRECONDITION"


def test_a_failure_reads_as_its_message():
    assert str(Failed(Kind.BROKEN, "unreadable")) == "unreadable"
