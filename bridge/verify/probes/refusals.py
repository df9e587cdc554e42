"""Bad queries: are they refused, with which status, and do the details name the field."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from bridge.verify import rules
from bridge.verify.calls import CallEnd, CallFailedError
from bridge.verify.rules import Rule
from bridge.verify.session import VerifySession
from livequery.v1 import livequery_pb2 as pb

DOMAIN = "livequery.v1"
NAMELESS = "verify_no_such_name"
UNKNOWN_OPERATOR = 99


@dataclass(frozen=True, slots=True)
class BadQuery:
    """One change that makes a good query bad.

    `field` is what ErrorInfo must name, or begin with.
    """

    rule: Rule
    what: str
    code: str
    field: str
    spoil: Callable[[pb.LiveQuery], object]


def _unknown_operator(query: pb.LiveQuery) -> None:
    leaf = query.where.add().comparison
    leaf.column = query.sort[0].column if query.sort else "id"
    leaf.operator = UNKNOWN_OPERATOR  # type: ignore[assignment]  # on purpose: no such number
    leaf.value.string_value = "x"


def _unknown_column(query: pb.LiveQuery) -> None:
    leaf = query.where.add().comparison
    leaf.column = NAMELESS
    leaf.operator = pb.OPERATOR_EQ
    leaf.value.string_value = "x"


def _long_cursor(query: pb.LiveQuery) -> None:
    values = [pb.Value(string_value="x") for _ in range(len(query.sort) + 2)]
    query.cursor.CopyFrom(pb.Cursor(values=values))


def _bad_queries(query: pb.LiveQuery) -> list[BadQuery]:
    bad = "INVALID_ARGUMENT"
    where, sort = f"where[{len(query.where)}]", f"sort[{len(query.sort)}]"
    return [
        BadQuery(
            rules.STATUS_ENTITY, "an unknown entity", "NOT_FOUND", "entity",
            lambda q: setattr(q, "entity", NAMELESS),
        ),
        BadQuery(rules.STATUS_COLUMN, "an unknown column", bad, where, _unknown_column),
        BadQuery(
            rules.STATUS_COLUMN, "a sort by an unknown column", bad, sort,
            lambda q: q.sort.add(column=NAMELESS),
        ),
        BadQuery(rules.STATUS_OPERATOR, "operator 99", bad, where, _unknown_operator),
        BadQuery(rules.STATUS_CURSOR, "a cursor of wrong arity", bad, "cursor", _long_cursor),
        BadQuery(
            rules.STATUS_LIMIT, "a limit of 0", bad, "limit", lambda q: setattr(q, "limit", 0)
        ),
    ]  # fmt: skip


async def refusals(session: VerifySession) -> None:
    """Ask what cannot be answered."""
    for case in _bad_queries(session.query):
        query = pb.LiveQuery()
        query.CopyFrom(session.query)
        if case.rule is rules.STATUS_COLUMN and case.field.startswith("sort"):
            query.ClearField("cursor")  # its arity would be wrong as well
        case.spoil(query)
        await _ask(session, case, query)


async def _ask(session: VerifySession, case: BadQuery, query: pb.LiveQuery) -> None:
    ledger = session.ledger
    started, end = await _answer(session, query)
    if end is None and not started and await session.slow():
        ledger.not_judged("answers were slow", case.rule)
        return
    if end is None or end.code == "OK":
        got = "it was served" if started else "no answer"
        ledger.find(case.rule, f"{case.code} for {case.what}", got)
        return
    expected = f"{case.code} for {case.what}"
    if case.rule is rules.STATUS_ENTITY and end.code == "INVALID_ARGUMENT":
        ledger.warn(case.rule, expected, str(end))
    else:
        ledger.check(case.rule, end.code == case.code, expected, end)
    ledger.check(
        rules.STATUS_FIRST, not started, f"a status alone for {case.what}", "started before it"
    )
    if end.code == case.code:
        _judge_details(session, case, end)


async def _answer(session: VerifySession, query: pb.LiveQuery) -> tuple[bool, CallEnd | None]:
    """Return whether `started` came, and how the call ended, None if it did not."""
    started = False
    messages = session.client.subscribe(session.request(query))
    try:
        async with asyncio.timeout(session.times.answer):
            async for message in messages:
                if message.batch.snapshot_complete:
                    return True, None
                started = True
    except CallFailedError as failed:
        return started, failed.end
    except TimeoutError:
        return started, None
    finally:
        await messages.aclose()
    return started, CallEnd("OK")


def _judge_details(session: VerifySession, case: BadQuery, end: CallEnd) -> None:
    ledger = session.ledger
    if end.info is None:
        ledger.find(rules.ERROR_DETAILS, f"an ErrorInfo for {case.what}", "none")
        return
    ledger.ok(rules.ERROR_DETAILS)
    if not ledger.check(
        rules.ERROR_DOMAIN, end.info.domain == DOMAIN, f"domain {DOMAIN!r}", repr(end.info.domain)
    ):
        return
    field = end.info.metadata.get("field", "")
    ledger.check(
        rules.ERROR_FIELD,
        field == case.field or field.startswith((f"{case.field}.", f"{case.field}[")),
        f"field {case.field!r} or a member of it for {case.what}",
        repr(field),
    )
