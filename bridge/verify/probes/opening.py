"""Opening: streams that are opened while changes are made lose none of them."""

import asyncio

from bridge.verify import rules
from bridge.verify.session import NotJudgedError, VerifySession

STREAMS = 4
STEP = 0.004
"""Seconds: each stream is open that much longer than the one before, until the next change."""


async def opening(session: VerifySession) -> None:
    """Open streams, each at another moment of a change, and compare their windows."""
    ledger = session.ledger
    if session.write is None:
        ledger.skip("give --write-command", rules.OPENING)
        return
    if session.main.doubt or ledger.outcome(rules.WINDOW_KEPT).findings:
        ledger.skip("see the rules of deltas", rules.OPENING)
        return
    streams = []
    for turn in range(STREAMS):
        # What its rules find would follow from what is looked for here.
        streams.append(session.open(session.query, judged=False))
        await asyncio.sleep(turn * STEP)
        await session.write()
    try:
        await session.until(
            lambda: all(stream.whole or stream.end for stream in streams), session.times.snapshot
        )
        for stream in streams:
            if stream.end is not None:
                raise NotJudgedError(f"a stream ended: {stream.end}")
            if stream.doubt:
                got = f"a window that broke {stream.doubt}"
                ledger.find(rules.OPENING, "a window as others keep it", got)
                return
            if not await session.compare(rules.OPENING, stream, session.query):
                return
    finally:
        for stream in streams:
            await stream.close()
