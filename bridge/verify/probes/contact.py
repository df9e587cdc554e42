"""First contact: is there a service, how does it speak, does it serve the query."""

import asyncio

import h2.exceptions

from bridge.verify import rules
from bridge.verify.calls import MOST_STREAMS, CallEnd, CallFailedError
from bridge.verify.raw_call import RawCall
from bridge.verify.session import VerifySession

OUT_OF_REACH = "the service was not reached"


class NoServiceError(Exception):
    """There is nothing to be judged; the finding is in the ledger."""


async def contact(session: VerifySession) -> None:
    """Judge the service over bare HTTP/2; raises NoServiceError."""
    target, ledger = session.client.target, session.ledger
    try:
        call = await RawCall.open(target, session.request(session.query))
    except (OSError, h2.exceptions.ProtocolError) as error:
        text = str(error) or type(error).__name__
        ledger.find(rules.SERVICE, f"a connection to {target.address}", text)
        raise NoServiceError from None
    try:
        end = await _first_word(session, call)
        _judge_answer(session, call, end)
        session.client.streams_per_channel = max(min(MOST_STREAMS, call.stream_limit), 1)
    finally:
        await call.close()


async def _first_word(session: VerifySession, call: RawCall) -> CallEnd | None:
    """Read until the snapshot is complete or the time is over; returns how the call ended."""
    try:
        async with asyncio.timeout(min(session.times.started, session.times.snapshot)):
            async for message in call.messages():
                if message.batch.snapshot_complete:
                    return None
    except TimeoutError:
        return None
    except CallFailedError as failed:
        return failed.end
    return CallEnd("OK")


def _judge_answer(session: VerifySession, call: RawCall, end: CallEnd | None) -> None:
    ledger = session.ledger
    status = call.headers.get(":status", "200")
    kind = call.headers.get("content-type", "application/grpc")
    if status != "200" or not kind.startswith("application/grpc"):
        got = f"HTTP {status}, content-type {kind}"
        ledger.find(rules.SERVICE, "HTTP 200 with content-type application/grpc", got)
        raise NoServiceError
    lost = end is not None and end.code == "UNAVAILABLE" and not call.headers
    if end is not None and (end.code == "UNIMPLEMENTED" or lost):
        hint = ": not HTTP/2, or TLS on one side only" if lost else ""
        ledger.find(rules.SERVICE, "livequery.v1.LiveQueryService", f"{end}{hint}")
        raise NoServiceError
    ledger.ok(rules.SERVICE)
    ledger.check(
        rules.COMPRESSION,
        not call.compressed,
        "messages as they are: the bridge offers identity only",
        f"{call.compressed} messages in {call.headers.get('grpc-encoding', 'no coding named')}",
    )


async def main_stream(session: VerifySession) -> None:
    """Open the stream that is watched all the time; raises RefusedError, NotJudgedError."""
    session.main = await session.whole(session.query)
    if session.main.judge.window.limit < session.query.limit:
        session.ledger.note(f"the tier runs the query with limit {session.main.judge.window.limit}")
