"""Filtering: conditions on the first sort key, whose values the rows' cursors tell."""

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from bridge.verify import rules
from bridge.verify.observed_stream import ObservedStream
from bridge.verify.rows import Row, scalar
from bridge.verify.session import RefusedError, VerifySession
from livequery.v1 import livequery_pb2 as pb

from .at_rest import Judgement, judge_at_rest, unchanged

LEAST_ROWS: Final = 3
RULES: Final = (rules.WHERE,)
_MAY_REFUSE: Final = ("INVALID_ARGUMENT", "UNIMPLEMENTED")
Number: TypeAlias = int | float
_COMPARISONS: Final[dict[pb.Operator, tuple[str, Callable[[Number, Number], bool]]]] = {
    pb.OPERATOR_EQ: ("eq", operator.eq),
    pb.OPERATOR_NE: ("ne", operator.ne),
    pb.OPERATOR_GT: ("gt", operator.gt),
    pb.OPERATOR_GTE: ("gte", operator.ge),
    pb.OPERATOR_LT: ("lt", operator.lt),
    pb.OPERATOR_LTE: ("lte", operator.le),
}


@dataclass(frozen=True, slots=True)
class _Case:
    """A condition, its text, and which values of the column it holds for."""

    condition: pb.Condition
    text: str
    holds: Callable[[Number], bool]


async def filtering(session: VerifySession) -> None:
    """Ask for a part of the window by conditions; a tier may refuse any of them."""
    if not session.query.sort:
        session.ledger.skip("the query has no sort key", *RULES)
        return
    await judge_at_rest(session, RULES, _unfit, _judge)


def _unfit(rows: Sequence[Row]) -> str:
    if len(rows) < LEAST_ROWS:
        return f"the window has {len(rows)} rows; at least {LEAST_ROWS} are needed"
    if not all(row.cursor and _number(row) is not None for row in rows):
        return "the first sort key is not a number in every row"
    return ""


def _number(row: Row) -> Number | None:
    found = scalar(row.cursor[0])
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return found if math.isfinite(found) else None


async def _judge(
    session: VerifySession, full: ObservedStream, rows: list[Row]
) -> list[Judgement] | None:
    changes, found, refused = full.judge.window.changes, list[Judgement](), set[str]()
    for case in _cases(session.query.sort[0].column, rows):
        query = pb.LiveQuery()
        query.CopyFrom(session.query)
        query.where.append(case.condition)
        try:
            stream = await session.whole(query)
        except RefusedError as failed:
            if failed.end.code not in _MAY_REFUSE:
                found.append(Judgement(rules.WHERE, False, case.text, str(failed.end)))
            refused.add(failed.end.code)
            continue
        got = list(stream.rows)
        await session.close_stream(stream)
        fault = _fault(case, rows, got)
        found.append(Judgement(rules.WHERE, not fault, f"rows with {case.text}", fault))
    if not await unchanged(session, full, changes):
        return None
    if not found:
        session.ledger.skip(f"the tier refuses conditions: {' '.join(sorted(refused))}", *RULES)
    return found


def _cases(column: str, rows: Sequence[Row]) -> list[_Case]:
    middle, last = rows[len(rows) // 2], rows[-1]
    one, other = _number(middle) or 0, _number(last) or 0
    given = middle.cursor[0], last.cursor[0]

    def comparison(name: pb.Operator, *values: pb.Value) -> pb.Comparison:
        found = pb.Comparison(column=column, operator=name)
        if name in (pb.OPERATOR_IN, pb.OPERATOR_NOT_IN):
            found.list.values.extend(values)
        elif values:
            found.value.CopyFrom(values[0])
        return found

    def case(
        text: str,
        holds: Callable[[Number], bool],
        name: pb.Operator,
        *values: pb.Value,
    ) -> _Case:
        return _Case(pb.Condition(comparison=comparison(name, *values)), text, holds)

    def holds(compare: Callable[[Number, Number], bool]) -> Callable[[Number], bool]:
        return lambda value: compare(value, one)

    cases = [
        case(f"{column} {text} {one}", holds(compare), name, given[0])
        for name, (text, compare) in _COMPARISONS.items()
    ]
    cases += [
        case(
            f"{column} in {one}, {other}",
            lambda value: value in (one, other),
            pb.OPERATOR_IN,
            *given,
        ),
        case(f"{column} notin {one}", lambda value: value != one, pb.OPERATOR_NOT_IN, given[0]),
        case(f"{column} isnull", lambda _: False, pb.OPERATOR_IS_NULL),
        case(f"{column} isnotnull", lambda _: True, pb.OPERATOR_IS_NOT_NULL),
    ]
    either = [pb.Condition(comparison=comparison(pb.OPERATOR_EQ, value)) for value in given]
    group = pb.Condition(or_group=pb.OrGroup(conditions=either))
    text = f"{column} eq {one} or {column} eq {other}"
    return [*cases, _Case(group, text, lambda value: value in (one, other))]


def _fault(case: _Case, rows: Sequence[Row], got: Sequence[Row]) -> str:
    """Return what is wrong with a window under a condition; empty if nothing is.

    Rows from behind the window that was read first may follow those that are known.
    """
    for row in got:
        value = _number(row) if row.cursor else None
        if value is not None and not case.holds(value):
            return f"{row.id!r} with {value}"
    known = [row.id for row in rows if case.holds(_number(row) or 0)]
    found = [row.id for row in got]
    if found[: len(known)] != known:
        return f"{' '.join(found) or 'no rows'}, without {' '.join(known)} at first"
    return ""
