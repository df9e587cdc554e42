"""What is judged last: heartbeats on the main stream, and how a tier stops."""

from bridge.verify import rules
from bridge.verify.session import VerifySession
from bridge.verify.shell_hook import HookFailedError

INTERVALS = 3
MARGIN = 0.02
"""Seconds: a silence is measured a little beyond the patience, not just up to it."""


async def heartbeats(session: VerifySession) -> None:
    """Judge the silences of the main stream against the interval promised."""
    ledger, main = session.ledger, session.main
    ledger.skip("no heartbeat came", rules.HEARTBEAT_POSITION)
    started = main.started
    if started is None or not started.HasField("heartbeat_interval"):
        ledger.skip("no heartbeat_interval was promised", rules.HEARTBEAT_TIME)
        return
    promised = started.heartbeat_interval
    interval = promised.seconds + promised.nanos / 1e9
    patience = INTERVALS * interval
    if patience > session.times.heartbeat:
        reason = f"{interval:g} s are promised: three take longer than this run waits"
        ledger.not_judged(reason, rules.HEARTBEAT_TIME)
        return

    count = main.count

    def heard() -> bool:
        return main.end is not None or main.count > count

    # While this process looked at nothing, a tier can't be told from a silent one.
    while not heard() and main.silence <= (due := patience + session.stalls.longest):
        await session.until(heard, due - main.silence + MARGIN)
    longest = max(main.longest_silence, main.silence if main.end is None else 0)
    if longest <= patience:
        ledger.ok(rules.HEARTBEAT_TIME)
    elif longest <= patience + session.stalls.longest or await session.slow():
        ledger.not_judged("answers were slow", rules.HEARTBEAT_TIME)
    else:
        expected = f"a message within {patience:g} s: three intervals of {interval:g} s"
        ledger.find(rules.HEARTBEAT_TIME, expected, f"{longest:.1f} s of silence")


async def graceful_end(session: VerifySession) -> None:
    """Stop the tier by the user's command and see how its streams end."""
    ledger, main = session.ledger, session.main
    if session.stop is None:
        ledger.skip("give --stop-command to have the tier stopped", rules.GRACEFUL_END)
        return
    if main.end is not None:
        ledger.skip("the stream had ended before", rules.GRACEFUL_END)
        return
    session.stopping = True
    try:
        await session.stop()
    except HookFailedError as failed:
        ledger.not_judged(str(failed), rules.GRACEFUL_END)
        return
    await session.until(lambda: main.end, session.times.ending)
    if main.end is None:
        got = f"an open stream {session.times.ending:g} s later"
        ledger.find(rules.GRACEFUL_END, "UNAVAILABLE", got)
    else:
        ledger.check(rules.GRACEFUL_END, main.end.code == "UNAVAILABLE", "UNAVAILABLE", main.end)
