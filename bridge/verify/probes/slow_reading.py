"""A reader that pauses: the tier may hold back, merge or reset, but not lose anything."""

import asyncio

import h2.exceptions

from bridge.verify import rules
from bridge.verify.observed_stream import ObservedStream
from bridge.verify.raw_call import RawCall
from bridge.verify.session import PASSING, NotJudgedError, VerifySession
from bridge.verify.stream_judge import StreamJudge

SMALL_WINDOW = 64
"""Bytes that the tier may send before it has to wait: less than any snapshot has."""
WRITES = 3


async def slow_reading(session: VerifySession) -> None:
    """Open a stream whose flow control window stays shut for a while."""
    ledger = session.ledger
    try:
        call = await RawCall.open(
            session.client.target, session.request(session.query), window=SMALL_WINDOW
        )
    except (OSError, h2.exceptions.ProtocolError) as error:
        raise NotJudgedError(f"no second connection: {error}") from None
    judge = StreamJudge(ledger, session.query)
    stream = ObservedStream(call.messages(), judge, on_message=session.notify)
    try:
        # What changes from now on has to wait for the reader.
        await session.until(lambda: stream.count or stream.end, session.times.quiet)
        await _pause(session)
        call.release()
        came = await session.until(lambda: stream.whole or stream.end, session.times.snapshot)
        if stream.end is not None and stream.end.code in PASSING:
            ledger.ok(rules.SLOW_READER, f"the tier ended the stream: {stream.end}")
        elif stream.end is not None or not came:
            got = f"the stream ended: {stream.end}" if stream.end else "no window"
            if await session.slow():
                raise NotJudgedError("answers were slow")
            ledger.find(rules.SLOW_READER, "a window once the reader reads again", got)
        else:
            await session.compare(rules.SLOW_READER, stream, session.query)
    finally:
        try:
            await stream.close()
        finally:
            await call.close()


async def _pause(session: VerifySession) -> None:
    """Let time pass and changes happen while the stream is not read."""
    loop = asyncio.get_running_loop()
    until = loop.time() + session.times.pause
    if session.write is not None:
        for _ in range(WRITES):
            await session.write()
    await _judge_neighbour(session)
    await asyncio.sleep(max(until - loop.time(), 0))


async def _judge_neighbour(session: VerifySession) -> None:
    ledger, times = session.ledger, session.times
    neighbour = session.open(session.query)
    within = times.started + times.snapshot
    try:
        await session.until(lambda: neighbour.whole or neighbour.end, within)
        if neighbour.whole:
            ledger.ok(rules.NEIGHBOURS)
        elif neighbour.end is not None:
            ledger.not_judged(f"another stream ended: {neighbour.end}", rules.NEIGHBOURS)
        elif await session.slow():
            ledger.not_judged("answers were slow", rules.NEIGHBOURS)
        else:
            ledger.find(rules.NEIGHBOURS, f"another window within {within:g} s", "none")
    finally:
        await session.close_stream(neighbour)
