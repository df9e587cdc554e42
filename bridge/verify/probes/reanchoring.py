"""Reanchor: the new window, its epoch, and what is refused."""

import secrets

from bridge.verify import rules
from bridge.verify.calls import CallFailedError
from bridge.verify.observed_stream import ObservedStream
from bridge.verify.session import NotJudgedError, VerifySession
from livequery.v1 import livequery_pb2 as pb

from .cursors import at

WRITES = 4
DETAILS = (
    rules.REANCHOR_RESET,
    rules.REANCHOR_EPOCH,
    rules.REANCHOR_WINDOW,
    rules.REANCHOR_REFUSES,
    rules.REANCHOR_UNKNOWN,
)


async def reanchoring(session: VerifySession) -> None:
    """Move a stream of its own behind its first row."""
    stream = await session.whole(session.query)
    try:
        if stream.doubt:
            raise NotJudgedError(f"a window broke {stream.doubt} first")
        anchor = [*stream.rows[0].cursor] if stream.rows else []
        limit = max(session.query.limit - 1, 1)
        answer = await _reanchor(session, stream, anchor, limit)
        if answer is not None:
            await _judge_window(session, stream, answer, at(session.query, anchor, limit))
            await _judge_refusals(session, stream, at(session.query, anchor, limit))
    finally:
        await session.close_stream(stream)


def _request(
    session: VerifySession, stream: ObservedStream, cursor: list[pb.Value], limit: int
) -> pb.ReanchorRequest:
    started = stream.started or pb.Started()
    return pb.ReanchorRequest(
        subscription_id=started.subscription_id,
        route=started.route,
        query=session.query,
        cursor=pb.Cursor(values=cursor) if cursor else None,
        limit=limit,
        request_id=f"verify-{secrets.token_hex(4)}",
    )


async def _reanchor(
    session: VerifySession, stream: ObservedStream, anchor: list[pb.Value], limit: int
) -> tuple[pb.ReanchorRequest, pb.ReanchorResponse] | None:
    ledger = session.ledger
    request = _request(session, stream, anchor, limit)
    stream.judge.window.anchor_at(request.request_id, limit)
    try:
        response = await session.client.reanchor(request, session.times.reanchor)
    except CallFailedError as failed:
        code = failed.end.code
        if code == "UNIMPLEMENTED":
            ledger.ok(rules.REANCHOR, "UNIMPLEMENTED, as a tier may")
            ledger.skip("Reanchor is UNIMPLEMENTED", *DETAILS)
        elif code == "DEADLINE_EXCEEDED" and await session.slow():
            ledger.not_judged("answers were slow", rules.REANCHOR, *DETAILS)
        else:
            expected = f"an answer within {session.times.reanchor:g} s, or UNIMPLEMENTED"
            ledger.find(rules.REANCHOR, expected, str(failed.end))
            ledger.skip("see reanchor", *DETAILS)
        return None
    ledger.ok(rules.REANCHOR)
    return request, response


async def _judge_window(
    session: VerifySession,
    stream: ObservedStream,
    answer: tuple[pb.ReanchorRequest, pb.ReanchorResponse],
    query: pb.LiveQuery,
) -> None:
    ledger, (request, response) = session.ledger, answer
    window = stream.judge.window

    def answered() -> bool:
        """Whether the window is the one asked for: a tier may reset for reasons of its own."""
        return window.complete and window.last_reset.request_id == request.request_id

    await session.until(lambda: answered() or stream.end, session.times.snapshot)
    came = window.snapshots > 1 and window.complete
    if not came or stream.end:
        if await session.slow():
            ledger.not_judged("answers were slow", rules.REANCHOR_WINDOW)
        else:
            got = f"the stream ended: {stream.end}" if stream.end else "none"
            expected = f"a window within {session.times.snapshot:g} s"
            ledger.find(rules.REANCHOR_WINDOW, expected, got)
        ledger.skip("see reanchor-window", rules.REANCHOR_RESET, rules.REANCHOR_EPOCH)
        return
    info, epoch = window.last_reset, stream.judge.numbering.epoch
    ledger.check(
        rules.REANCHOR_RESET,
        (info.reason, info.request_id) == (pb.RESET_REASON_REANCHOR, request.request_id),
        f"reason REANCHOR, request_id {request.request_id!r}",
        f"reason {info.reason}, request_id {info.request_id!r}",
    )
    if epoch and response.epoch:
        ledger.check(
            rules.REANCHOR_EPOCH, response.epoch == epoch, f"epoch {epoch}", f"{response.epoch}"
        )
    else:
        ledger.skip("the tier does not number its epochs", rules.REANCHOR_EPOCH)
    if await session.compare(rules.REANCHOR_WINDOW, stream, query) and session.write is not None:
        for _ in range(WRITES):  # the new window is kept, too
            await session.write()
        await session.compare(rules.REANCHOR_WINDOW, stream, query)


async def _judge_refusals(
    session: VerifySession, stream: ObservedStream, query: pb.LiveQuery
) -> None:
    if stream.end is not None:
        reason = f"the stream ended: {stream.end}"
        session.ledger.skip(reason, rules.REANCHOR_REFUSES, rules.REANCHOR_UNKNOWN)
        return
    wrong = [pb.Value(string_value="x") for _ in range(len(query.sort) + 2)]
    refused = _request(session, stream, wrong, 0)
    expected = "INVALID_ARGUMENT for a cursor of wrong arity"
    held = await _expect(session, refused, "INVALID_ARGUMENT", rules.REANCHOR_REFUSES, expected)
    if held and not session.ledger.outcome(rules.REANCHOR_WINDOW).findings:
        try:
            await _judge_kept(session, stream, query)
        except NotJudgedError as reason:
            session.ledger.not_judged(str(reason), rules.REANCHOR_REFUSES)
    unknown = _request(session, stream, list(query.cursor.values), 0)
    unknown.subscription_id = f"verify-{secrets.token_hex(8)}"
    expected = "NOT_FOUND for an unknown subscription"
    await _expect(session, unknown, "NOT_FOUND", rules.REANCHOR_UNKNOWN, expected)


async def _judge_kept(session: VerifySession, stream: ObservedStream, query: pb.LiveQuery) -> None:
    found = await session.difference(stream, query)
    session.ledger.check(
        rules.REANCHOR_REFUSES, not found, "the window as before the refusal", found
    )


async def _expect(
    session: VerifySession, request: pb.ReanchorRequest, code: str, rule: rules.Rule, expected: str
) -> bool:
    try:
        await session.client.reanchor(request, session.times.reanchor)
    except CallFailedError as failed:
        if failed.end.code == "DEADLINE_EXCEEDED" and await session.slow():
            session.ledger.not_judged("answers were slow", rule)
            return False
        return session.ledger.check(rule, failed.end.code == code, expected, failed.end)
    session.ledger.find(rule, expected, "OK")
    return False
