"""Rules that are judged by several reads of one window, while nothing changes in it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from bridge.verify import rules
from bridge.verify.observed_stream import ObservedStream
from bridge.verify.rows import Row
from bridge.verify.session import NotJudgedError, RefusedError, VerifySession
from livequery.v1 import livequery_pb2 as pb


@dataclass(frozen=True, slots=True)
class Judgement:
    """A rule's verdict of one attempt."""

    rule: rules.Rule
    holds: bool
    expected: str
    got: str


Judge = Callable[[VerifySession, ObservedStream, list[Row]], Awaitable[list[Judgement] | None]]
"""(session, the window's stream, its rows) → verdicts; None if the window changed meanwhile."""


async def judge_at_rest(
    session: VerifySession,
    judged: Sequence[rules.Rule],
    unfit: Callable[[Sequence[Row]], str],
    judge: Judge,
) -> None:
    """Read the window and judge it. `unfit` says why its rows are no good for that, if so.

    What was found is reported when it is found twice: a change may have come in between unseen.
    Raises NotJudgedError.
    """
    suspected: list[Judgement] | None = None
    for _ in range(session.times.attempts):
        full = await session.whole(session.query)
        try:
            if full.doubt:
                raise NotJudgedError(f"a window broke {full.doubt} first")
            if reason := unfit(full.rows):
                session.ledger.skip(reason, *judged)
                return
            found = await judge(session, full, list(full.rows))
        finally:
            await session.close_stream(full)
        if found is None:
            continue
        if found == suspected or all(one.holds for one in found):
            for one in found:
                session.ledger.check(one.rule, one.holds, one.expected, one.got)
            return
        suspected = found
    raise NotJudgedError("the tier changed all the time")


async def unchanged(session: VerifySession, full: ObservedStream, changes: int) -> bool:
    """Whether the window stayed as it was; waits a moment for changes that are on their way."""

    def changed() -> object:
        return full.end or full.judge.window.changes != changes

    return not await session.until(changed, session.times.quiet)


async def ids_of(session: VerifySession, query: pb.LiveQuery) -> list[str] | str:
    """Return the window's ids, or the status that the query was refused with."""
    try:
        stream = await session.whole(query)
    except RefusedError as refused:
        return str(refused.end)
    ids = stream.ids
    await session.close_stream(stream)
    return ids
