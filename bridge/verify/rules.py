"""The rules that a tier is judged by: one row each, with the section that states it.

A rule's identifier is stable: `--only`, JSON and JUnit output use it. `docs/verify.md` holds the
same table; a test compares the two.
"""

from dataclasses import dataclass
from typing import Final

LEAST: Final = "contract.md: The least that works"
MORE: Final = "contract.md: What more you may send, and what for"
REANCHOR_SECTION: Final = "contract.md: Reanchor"
RESUME_SECTION: Final = "contract.md: Resume"
FAILURES: Final = "contract.md: Failures"
MISTAKES: Final = "contract.md: Common mistakes"
STREAM: Final = "semantics.md: The stream"
REDUCER: Final = "semantics.md: The reducer"
PROMISES: Final = "semantics.md: What the bridge promises"
LIVE_QUERY: Final = "wire.md: 1. LiveQuery (client → bridge)"
STATUSES: Final = "wire.md: 6. Failures: one table"


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that a tier must do (`warning`: should do)."""

    id: str
    section: str
    title: str
    warning: bool = False


_table: list[Rule] = []


def _rule(identifier: str, section: str, title: str, *, warning: bool = False) -> Rule:
    rule = Rule(identifier, section, title, warning)
    _table.append(rule)
    return rule


SERVICE = _rule("service", LEAST, "the service answers Subscribe")
COMPRESSION = _rule(
    "compression", MISTAKES, "messages are not compressed: only identity is offered", warning=True
)
MESSAGE_SIZE = _rule("message-size", MISTAKES, "a message has at most 4 MiB")
MESSAGE_KIND = _rule("message-kind", LEAST, "a message is started, batch or heartbeat")

STARTED_FIRST = _rule("started-first", LEAST, "the first message is started")
STARTED_ONCE = _rule("started-once", LEAST, "a stream has one started")
STARTED_TIME = _rule("started-time", MISTAKES, "started comes at once, not with the rows")
SUBSCRIPTION_ID = _rule("subscription-id", LEAST, "started has a subscription_id")
SUBSCRIPTION_ID_UNIQUE = _rule(
    "subscription-id-unique", LEAST, "open streams have different subscription_ids"
)
RESUMED_UNASKED = _rule(
    "resumed-unasked", MISTAKES, "resumed is only said to who offers a position"
)
EFFECTIVE_QUERY = _rule(
    "effective-query", MORE, "effective_query has the entity asked for and no larger limit"
)

SNAPSHOT_RESET = _rule("snapshot-reset", LEAST, "a snapshot begins with one reset")
SNAPSHOT_ENTERS = _rule("snapshot-enters", LEAST, "a snapshot has enters only")
SNAPSHOT_INDEXES = _rule("snapshot-indexes", LEAST, "new_index is 0, 1, 2, … and old_index -1")
SNAPSHOT_COMPLETE = _rule(
    "snapshot-complete", MISTAKES, "snapshot_complete comes within 10 s of the reset"
)
COMPLETE_MISPLACED = _rule(
    "complete-misplaced", STREAM, "snapshot_complete stands at the end of a snapshot only"
)
SNAPSHOT_LIMIT = _rule("snapshot-limit", PROMISES, "a snapshot has no more rows than the limit")
ROW_COUNT = _rule("row-count", STREAM, "row_count is the number of rows that follow")
ROW_ID = _rule("row-id", REDUCER, "every row has an agg_id")
ROW_ID_UNIQUE = _rule("row-id-unique", PROMISES, "an agg_id is in a snapshot once")
ROW_JSON = _rule("row-json", MISTAKES, "a row is JSON in UTF-8")
CURSOR_ARITY = _rule("cursor-arity", MORE, "a cursor has one value per sort key, then the id")
CURSOR_VALUES = _rule("cursor-values", MISTAKES, "cursor values are set and finite")
SORT_ORDER = _rule("sort-order", STREAM, "rows are in the order of their numeric sort keys")
SNAPSHOT_STREAM_ID = _rule("snapshot-stream-id", STREAM, "snapshot rows have no stream_id")

DELTA_OP = _rule("delta-op", STREAM, "an op is one that the mode has")
DELTA_ID = _rule(
    "delta-id", REDUCER, "a delta names a row that is in the window; an enter does not"
)
DELTA_INDEX = _rule("delta-index", STREAM, "indexes are exact at that moment of a sequential apply")
GROUP_WHOLE = _rule("group-whole", MISTAKES, "a change is one group: never split, leaves included")
STREAM_ID = _rule("stream-id", MORE, "a stream_id is one change's, without CR, LF and NUL")
VERSION = _rule("version", MORE, "versions of a row do not go backwards between two resets")
RESET_FIRST = _rule("reset-first", MORE, "a reset is the first delta of its batch")
RESET_BARE = _rule(
    "reset-bare", STREAM, "a reset brings rows: a bare one costs a Subscribe", warning=True
)
EPOCH = _rule("epoch", MORE, "the epoch rises by one at every reset, and only there")
FIRST_SEQ = _rule("first-seq", MORE, "first_seq counts deltas from 1 without gaps")
HEARTBEAT_POSITION = _rule(
    "heartbeat-position", MORE, "a heartbeat's last_seq and epoch are those of what was sent"
)
HEARTBEAT_TIME = _rule("heartbeat-time", MORE, "something comes within three promised intervals")
STAYS_OPEN = _rule(
    "stays-open", FAILURES, "a stream stays open; OK ends browsers' streams for good"
)
WINDOW_KEPT = _rule(
    "window-kept", PROMISES, "the window kept by deltas is the one that a second read has"
)

STATUS_ENTITY = _rule("status-entity", STATUSES, "an unknown entity is NOT_FOUND")
STATUS_COLUMN = _rule("status-column", STATUSES, "an unknown column is INVALID_ARGUMENT")
STATUS_OPERATOR = _rule("status-operator", STATUSES, "an unknown operator is INVALID_ARGUMENT")
STATUS_CURSOR = _rule("status-cursor", STATUSES, "a cursor of wrong arity is INVALID_ARGUMENT")
STATUS_LIMIT = _rule("status-limit", STATUSES, "a limit of 0 is INVALID_ARGUMENT")
STATUS_FIRST = _rule("status-first", FAILURES, "a refusal comes instead of started", warning=True)
ERROR_DOMAIN = _rule("error-domain", FAILURES, "ErrorInfo has the domain livequery.v1")
ERROR_FIELD = _rule("error-field", FAILURES, "ErrorInfo names the field at fault")
ERROR_DETAILS = _rule("error-details", FAILURES, "a refusal has an ErrorInfo", warning=True)

CURSOR_ROUND_TRIP = _rule(
    "cursor-round-trip", MORE, "a query with a row's cursor has the rows strictly after it"
)
PAGING = _rule("paging", MORE, "pages by cursors meet every row exactly once")
NUMBER_KINDS = _rule("number-kinds", MISTAKES, "numbers in a cursor compare by value, not by kind")

WHERE = _rule("where", LIVE_QUERY, "a window has the rows that its conditions name, and no others")

OPENING = _rule("opening", MISTAKES, "no change is lost between a snapshot and the first delta")
PARALLEL = _rule("parallel", MISTAKES, "50 Subscribes at once are all served")
CANCEL_FREES = _rule("cancel-frees", LEAST, "a cancelled call's place can be taken again")
SLOW_READER = _rule(
    "slow-reader", PROMISES, "a stream read after a pause is consistent and lands on the window"
)
NEIGHBOURS = _rule("neighbours", PROMISES, "a stream that is not read holds up no other")

REANCHOR = _rule("reanchor", REANCHOR_SECTION, "Reanchor answers in time, or is UNIMPLEMENTED")
REANCHOR_RESET = _rule(
    "reanchor-reset", REANCHOR_SECTION, "the new window is a reset with reason REANCHOR and the id"
)
REANCHOR_EPOCH = _rule(
    "reanchor-epoch", REANCHOR_SECTION, "the reset has the epoch that Reanchor returned"
)
REANCHOR_WINDOW = _rule(
    "reanchor-window", REANCHOR_SECTION, "the new window is that of a new query at the anchor"
)
REANCHOR_REFUSES = _rule(
    "reanchor-refuses", REANCHOR_SECTION, "a bad cursor is INVALID_ARGUMENT; the window stays"
)
REANCHOR_UNKNOWN = _rule(
    "reanchor-unknown", REANCHOR_SECTION, "Reanchor of an unknown subscription is NOT_FOUND"
)

RESUME_HONEST = _rule("resume-honest", RESUME_SECTION, "resumed: true only if nothing is missing")
RESUME_ID = _rule("resume-id", RESUME_SECTION, "what is resumed keeps its subscription_id")
RESUME_NUMBERS = _rule(
    "resume-numbers", RESUME_SECTION, "a resumed stream goes on at seq + 1, without reset"
)
RESUME_UNKNOWN = _rule("resume-unknown", RESUME_SECTION, "a position that cannot be is not resumed")
RESUME_QUERY = _rule("resume-query", RESUME_SECTION, "another query is not resumed")

STREAMED_PAGE = _rule("streamed-page", STREAM, "streamed mode begins with a reset and a page")
STREAMED_KEPT = _rule(
    "streamed-kept", STREAM, "a set kept in streamed mode has the rows of the table"
)
DESCRIBE = _rule("describe", MORE, "Describe names the entity queried, or is UNIMPLEMENTED")
DESCRIBED_ROWS = _rule(
    "described-rows", MORE, "rows have the columns described, of their types and nullability"
)
STREAMED_INDEXES = _rule(
    "streamed-indexes", STREAM, "a streamed page is numbered like any snapshot", warning=True
)
GOAWAY = _rule(
    "goaway", MISTAKES, "a stream on a connection with GOAWAY ends with a status", warning=True
)
PINGS = _rule("pings", MISTAKES, "the pings of --keepalive fast are not punished", warning=True)
GRACEFUL_END = _rule(
    "graceful-end", FAILURES, "a tier that stops ends its streams with UNAVAILABLE"
)

RULES: Final = tuple(_table)
BY_ID: Final = {rule.id: rule for rule in RULES}
