"""Streamed mode: a page, then match, unmatch and update."""

from bridge.verify import rules
from bridge.verify.session import PASSING, RefusedError, VerifySession
from livequery.v1 import livequery_pb2 as pb

MAY_REFUSE = ("INVALID_ARGUMENT", "UNIMPLEMENTED", "FAILED_PRECONDITION")
WRITES = 2


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
            session.ledger.skip(f"the tier refuses it: {code}", rules.STREAMED_PAGE)
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
    await session.close_stream(stream)
