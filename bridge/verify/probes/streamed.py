"""Streamed mode: a page, then match, unmatch and update."""

from collections.abc import Sequence

from bridge.verify import rules
from bridge.verify.observed_stream import ObservedStream
from bridge.verify.rows import Row, streamed_difference
from bridge.verify.session import PASSING, RefusedError, VerifySession
from livequery.v1 import livequery_pb2 as pb

MAY_REFUSE = ("INVALID_ARGUMENT", "UNIMPLEMENTED", "FAILED_PRECONDITION")
WRITES = 8
WIDER, WIDEST = 10, 1000
"""How many times more rows than the query's are read to look members up, and how many at most."""


async def streamed(session: VerifySession) -> None:
    """Open the query in streamed mode; a tier may refuse it."""
    query = pb.LiveQuery()
    query.CopyFrom(session.query)
    query.mode = pb.MODE_STREAMED
    try:
        stream = await session.whole(query)
    except RefusedError as refused:
        code = refused.end.code
        if code in MAY_REFUSE:
            reason = f"the tier refuses it: {code}"
            session.ledger.skip(reason, rules.STREAMED_PAGE, rules.STREAMED_KEPT)
        elif code in PASSING:
            raise
        else:
            expected = f"a page, or one of {' '.join(MAY_REFUSE)}"
            session.ledger.find(rules.STREAMED_PAGE, expected, str(refused.end))
        return
    session.ledger.ok(rules.STREAMED_PAGE)
    for _ in range(WRITES if session.write else 0):
        before = stream.count
        assert session.write is not None  # noqa: S101 - for the type checker
        await session.write()
        await session.until(lambda: stream.count > before, session.times.quiet)  # noqa: B023
    await _judge_kept(session, stream)
    await session.close_stream(stream)


async def _judge_kept(session: VerifySession, stream: ObservedStream) -> None:
    if session.write is None:
        session.ledger.skip("give --write-command", rules.STREAMED_KEPT)
        return
    wide, limit = await _wide(session)

    def differ(kept: Sequence[Row], read: Sequence[Row]) -> str:
        return streamed_difference(kept, read, limit)

    await session.compare(rules.STREAMED_KEPT, stream, wide, differ)


async def _wide(session: VerifySession) -> tuple[pb.LiveQuery, int]:
    """Return a query of more rows, and the limit that the tier runs it with."""
    wide = pb.LiveQuery()
    wide.CopyFrom(session.query)
    wide.ClearField("cursor")  # only the page begins there: members have no order
    wide.limit = max(min(WIDER * wide.limit, WIDEST), wide.limit)
    try:
        stream = await session.whole(wide)
    except RefusedError:
        wide.limit = session.query.limit
        return wide, wide.limit
    await session.close_stream(stream)
    return wide, stream.judge.window.limit
