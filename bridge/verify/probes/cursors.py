"""Cursors: round trip, paging, and numbers of another kind."""

from collections.abc import Sequence

from bridge.verify import rules
from bridge.verify.observed_stream import ObservedStream
from bridge.verify.rows import Row
from bridge.verify.session import RefusedError, VerifySession
from livequery.v1 import livequery_pb2 as pb

from .at_rest import Judgement, ids_of, judge_at_rest, unchanged

PAGES = 3
EXACT = 2**53
RULES = (rules.CURSOR_ROUND_TRIP, rules.PAGING, rules.NUMBER_KINDS)


def at(query: pb.LiveQuery, cursor: Sequence[pb.Value], limit: int) -> pb.LiveQuery:
    """Return the query with another anchor and limit."""
    moved = pb.LiveQuery()
    moved.CopyFrom(query)
    moved.cursor.CopyFrom(pb.Cursor(values=cursor))
    moved.limit = limit
    return moved


async def cursors(session: VerifySession) -> None:
    """Page through the window while nothing changes in it."""
    await judge_at_rest(session, RULES, _unfit, _judge)


def _unfit(rows: Sequence[Row]) -> str:
    if len(rows) < PAGES:
        return f"the window has {len(rows)} rows; at least {PAGES} are needed"
    if not all(row.cursor for row in rows):
        return "rows have no cursor"
    return ""


async def _judge(
    session: VerifySession, full: ObservedStream, rows: list[Row]
) -> list[Judgement] | None:
    """Judge the three rules; None if the window changed meanwhile."""
    behind: list[str] | str = []
    if len(rows) < full.judge.window.limit:
        behind = await ids_of(session, at(session.query, rows[-1].cursor, 1))
    ids, changes = [row.id for row in rows], full.judge.window.changes
    rest = f"the rows after {ids[0]!r}: {' '.join(ids[1:])}"
    trip = await ids_of(session, at(session.query, rows[0].cursor, len(rows) - 1))
    other = _other_kinds(rows[0].cursor)
    kinds = await ids_of(session, at(session.query, other, len(rows) - 1)) if other else None
    pages = await _pages(session, len(rows))
    if not await unchanged(session, full, changes):
        return None
    every = f"every row once: {' '.join(ids)}"
    found = [
        Judgement(rules.CURSOR_ROUND_TRIP, trip == ids[1:], rest, _shown(trip)),
        Judgement(rules.PAGING, pages == ids, every, _shown(pages)),
        Judgement(
            rules.PAGING, behind == [], "no row behind a window that is not full", _shown(behind)
        ),
    ]
    if kinds is None:
        session.ledger.skip("no sort key of the query is a whole number", rules.NUMBER_KINDS)
    else:
        found.append(Judgement(rules.NUMBER_KINDS, kinds == ids[1:], rest, _shown(kinds)))
    return found


async def _pages(session: VerifySession, count: int) -> list[str] | str:
    """Return the ids of `count` rows, read page by page by each page's last cursor."""
    size = -(-count // PAGES)
    query = at(session.query, session.query.cursor.values, size)
    if not query.cursor.values:
        query.ClearField("cursor")
    found: list[str] = []
    for _ in range(PAGES):
        try:
            stream = await session.whole(query)
        except RefusedError as refused:
            return str(refused.end)
        rows = list(stream.rows)
        await session.close_stream(stream)
        found += [row.id for row in rows]
        if len(rows) < size or not rows[-1].cursor:
            break
        query = at(session.query, rows[-1].cursor, size)
    return found[:count]


def _other_kinds(cursor: Sequence[pb.Value]) -> list[pb.Value] | None:
    """Return the cursor with whole numbers as doubles and the reverse; None without any."""
    other, found = [], False
    for value in cursor:
        kind = value.WhichOneof("kind")
        if kind in ("int_value", "uint_value") and abs(getattr(value, kind)) < EXACT:
            other.append(pb.Value(double_value=float(getattr(value, kind))))
            found = True
        elif kind == "double_value" and abs(value.double_value) < EXACT:
            whole = value.double_value.is_integer()
            found = found or whole
            other.append(pb.Value(int_value=int(value.double_value)) if whole else value)
        else:
            other.append(value)
    return other if found else None


def _shown(found: list[str] | str) -> str:
    return found if isinstance(found, str) else " ".join(found) or "no rows"
