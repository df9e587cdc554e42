"""Many streams at once, and whether cancelling gives their places back."""

import asyncio

from bridge.verify import rules
from bridge.verify.observed_stream import ObservedStream
from bridge.verify.session import PASSING, VerifySession

ROUNDS = 3
TRIES = 4


async def parallel(session: VerifySession) -> None:
    """Open many streams, cancel them, and do it again."""
    ledger, count = session.ledger, session.times.parallel
    for turn in range(ROUNDS):
        streams = await _open(session, count)
        missing = [stream for stream in streams if not stream.whole]
        if turn == 0:
            _judge_ids(session, streams)
        await asyncio.gather(*(session.close_stream(stream) for stream in streams))
        rule = rules.PARALLEL if turn == 0 else rules.CANCEL_FREES
        if not missing:
            ledger.ok(rule)
            continue
        if await session.slow():
            ledger.not_judged("answers were slow", rules.PARALLEL, rules.CANCEL_FREES)
            return
        expected = f"{count} windows at once"
        if turn:
            expected += f" after {count * turn} calls were cancelled"
        ledger.find(rule, expected, f"{count - len(missing)}; {_why(missing)}")
        if turn == 0:
            ledger.skip("see parallel", rules.CANCEL_FREES)
        return


async def _open(session: VerifySession, count: int) -> list[ObservedStream]:
    """Open so many streams and wait for their windows.

    Those refused in passing are opened again: a cancelled call's place is free a moment later.
    """
    streams: list[ObservedStream] = []
    for again in range(TRIES):
        if again:
            await asyncio.sleep(session.times.quiet)
        streams += [session.open(session.query) for _ in range(count - len(streams))]

        def answered(opened: list[ObservedStream] = streams) -> bool:
            return all(stream.whole or stream.end for stream in opened)

        await session.until(answered, session.times.started + session.times.snapshot)
        refused = [stream for stream in streams if _refused_in_passing(stream)]
        if not refused or again == TRIES - 1:
            break
        await asyncio.gather(*(session.close_stream(stream) for stream in refused))
        streams = [stream for stream in streams if stream not in refused]
    return streams


def _refused_in_passing(stream: ObservedStream) -> bool:
    return stream.started is None and stream.end is not None and stream.end.code in PASSING


def _judge_ids(session: VerifySession, streams: list[ObservedStream]) -> None:
    ids = [stream.started.subscription_id for stream in streams if stream.started]
    named = [identifier for identifier in ids if identifier]
    session.ledger.check(
        rules.SUBSCRIPTION_ID_UNIQUE,
        len(set(named)) == len(named),
        f"{len(named)} different subscription_ids",
        f"{len(set(named))}",
    )


def _why(missing: list[ObservedStream]) -> str:
    ends = {str(stream.end) for stream in missing if stream.end is not None}
    if ends:
        return f"others ended: {', '.join(sorted(ends)[:3])}"
    silent = sum(stream.started is None for stream in missing)
    return f"{silent} of the others were not even started"
