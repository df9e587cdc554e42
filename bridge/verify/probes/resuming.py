"""Resume: positions that may be granted, and positions that must not be."""

import secrets

from bridge.verify import rules
from bridge.verify.observed_stream import ObservedStream
from bridge.verify.rows import Row
from bridge.verify.session import NotJudgedError, RefusedError, VerifySession
from livequery.v1 import livequery_pb2 as pb

AHEAD = 1000
GRANTED = (rules.RESUME_ID, rules.RESUME_NUMBERS, rules.RESUME_QUERY)


async def resuming(session: VerifySession) -> None:
    """Leave a stream, let something change, and offer where it was left."""
    ledger = session.ledger
    lost = await session.whole(session.query)
    position, rows = lost.position, list(lost.rows)
    numbered = position.seq > 0
    await session.close_stream(lost)
    if lost.doubt:
        raise NotJudgedError(f"a window broke {lost.doubt} first")
    if not numbered or not position.subscription_id:
        ledger.skip("the tier does not number: no position is offered to it", *GRANTED)
        ledger.skip("the tier does not number", rules.RESUME_HONEST, rules.RESUME_UNKNOWN)
        return
    if session.write is not None:
        await session.write()
    position = await _offer(session, position, rows)
    await _judge_impossible(session, position)


async def _offer(
    session: VerifySession, position: pb.ResumePosition, rows: list[Row]
) -> pb.ResumePosition:
    """Offer a true position; returns the last one known."""
    ledger = session.ledger
    try:
        stream = await session.whole(session.query, resume=position, rows=rows)
    except RefusedError as refused:
        ledger.ok(rules.RESUME_HONEST, f"a position is answered with {refused.end.code}")
        ledger.skip("no position was granted", *GRANTED)
        return position
    try:
        if not stream.judge.resumed:
            ledger.ok(rules.RESUME_HONEST, "positions are answered with a snapshot")
            ledger.skip("no position was granted", *GRANTED)
            return position
        await session.compare(rules.RESUME_HONEST, stream, session.query)
        position = stream.position
    finally:
        await session.close_stream(stream)
    other = pb.LiveQuery()
    other.CopyFrom(session.query)
    # Not a larger limit: a tier may cap both at the same one, and then they are one query.
    other.limit = 1 if session.query.limit > 1 else 2
    got = "resumed: true for another limit"
    await _expect_snapshot(session, position, rules.RESUME_QUERY, got, query=other)
    return position


async def _judge_impossible(session: VerifySession, position: pb.ResumePosition) -> None:
    unknown, ahead, newer = (pb.ResumePosition() for _ in range(3))
    for made in (unknown, ahead, newer):
        made.CopyFrom(position)
    unknown.subscription_id = f"verify-{secrets.token_hex(8)}"
    ahead.seq += AHEAD
    newer.epoch += 1
    cases = {
        "resumed: true for an unknown subscription": unknown,
        f"resumed: true for a seq {AHEAD} beyond the last one": ahead,
        "resumed: true for an epoch that has not begun": newer,
    }
    for got, made in cases.items():
        await _expect_snapshot(session, made, rules.RESUME_UNKNOWN, got)


async def _expect_snapshot(
    session: VerifySession,
    position: pb.ResumePosition,
    rule: rules.Rule,
    got: str,
    *,
    query: pb.LiveQuery | None = None,
) -> None:
    stream = session.open(query or session.query, resume=position, judged=False)
    try:
        await session.until(lambda: stream.started or stream.end, session.times.started)
        if stream.started is None and stream.end is None:
            session.ledger.not_judged("no answer to a position", rule)
            return
        granted = _granted(stream)
        session.ledger.check(rule, not granted, "resumed: false, or a status", got)
    finally:
        await stream.close()


def _granted(stream: ObservedStream) -> bool:
    return stream.started is not None and stream.started.resumed
