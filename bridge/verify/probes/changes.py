"""Changes: is the window kept by deltas the one that a second read has, change after change."""

from bridge.verify import rules
from bridge.verify.session import NotJudgedError, VerifySession

ASK = "nothing changed in {:g} s: give --write-command"
BURST = 6
DELTA_RULES = (
    rules.WINDOW_KEPT,
    rules.DELTA_OP,
    rules.DELTA_ID,
    rules.DELTA_INDEX,
    rules.GROUP_WHOLE,
)


async def changes(session: VerifySession) -> None:
    """Make changes, or wait for those that come by themselves, and compare after each."""
    ledger = session.ledger
    for turn in range(session.times.changes):
        if session.write is not None:
            await session.write()
        elif not await _change(session):
            if not turn:
                ledger.skip(ASK.format(session.times.watch), *DELTA_RULES)
            break
        if session.main.end is not None:
            raise NotJudgedError(f"the stream ended: {session.main.end}")
        if await session.compare(rules.WINDOW_KEPT, session.main, session.query):
            continue
        if not session.main.void:
            break
        await _renew(session)
    else:
        await _burst(session)
    if session.write is not None and not session.main.judge.window.changes:
        ledger.note("the write command changed nothing in the window of the query")
        ledger.skip("the write command changed nothing in the window", *DELTA_RULES[1:])


async def _burst(session: VerifySession) -> None:
    """Make changes one right behind the other, which an engine may merge, and lose."""
    if session.write is not None and session.main.end is None:
        for _ in range(BURST):
            await session.write()
        await session.compare(rules.WINDOW_KEPT, session.main, session.query)


async def _renew(session: VerifySession) -> None:
    """Subscribe again, as the bridge does after a bare reset."""
    await session.close_stream(session.main)
    session.main = await session.whole(session.query)


async def _change(session: VerifySession) -> bool:
    window = session.main.judge.window
    before = window.changes, window.snapshots
    return await session.until(
        lambda: session.main.end or (window.changes, window.snapshots) != before,
        session.times.watch,
    )
