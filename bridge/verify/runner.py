"""The run: probes in order, each with the rules that it is there for."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from livequery.v1 import livequery_pb2 as pb

from . import rules
from .calls import Target, TierClient
from .connection_watch import ConnectionWatch
from .ledger import Ledger
from .probes.changes import changes
from .probes.contact import OUT_OF_REACH, NoServiceError, contact, main_stream
from .probes.cursors import cursors
from .probes.describing import describing
from .probes.endings import graceful_end, heartbeats
from .probes.filtering import filtering
from .probes.opening import opening
from .probes.parallel import parallel
from .probes.reanchoring import reanchoring
from .probes.refusals import refusals
from .probes.resuming import resuming
from .probes.slow_reading import slow_reading
from .probes.streamed import streamed
from .rules import RULES, Rule
from .session import Hook, NotJudgedError, RefusedError, VerifySession
from .times import Times


@dataclass(frozen=True, slots=True)
class Probe:
    """Something to ask the tier, and the rules that it is needed for.

    Rules about streams are judged on every stream, whoever opened it: a probe names those that
    need the changes it brings about.
    """

    run: Callable[[VerifySession], Awaitable[None]]
    rules: Sequence[Rule]


PROBES = (
    Probe(describing, (rules.DESCRIBE, rules.DESCRIBED_ROWS)),
    Probe(
        refusals,
        (
            rules.STATUS_ENTITY, rules.STATUS_COLUMN, rules.STATUS_OPERATOR, rules.STATUS_CURSOR,
            rules.STATUS_LIMIT, rules.STATUS_FIRST, rules.ERROR_DOMAIN, rules.ERROR_FIELD,
            rules.ERROR_DETAILS,
        ),
    ),
    Probe(cursors, (rules.CURSOR_ROUND_TRIP, rules.PAGING, rules.NUMBER_KINDS)),
    Probe(filtering, (rules.WHERE,)),
    Probe(
        reanchoring,
        (
            rules.REANCHOR, rules.REANCHOR_RESET, rules.REANCHOR_EPOCH, rules.REANCHOR_WINDOW,
            rules.REANCHOR_REFUSES, rules.REANCHOR_UNKNOWN, rules.RESET_FIRST, rules.EPOCH,
        ),
    ),
    Probe(
        resuming,
        (
            rules.RESUME_HONEST, rules.RESUME_ID, rules.RESUME_NUMBERS, rules.RESUME_UNKNOWN,
            rules.RESUME_QUERY,
        ),
    ),
    Probe(streamed, (rules.STREAMED_PAGE, rules.STREAMED_INDEXES, rules.STREAMED_KEPT)),
    Probe(parallel, (rules.PARALLEL, rules.CANCEL_FREES, rules.SUBSCRIPTION_ID_UNIQUE)),
    Probe(slow_reading, (rules.SLOW_READER, rules.NEIGHBOURS)),
    Probe(
        changes,
        (
            rules.WINDOW_KEPT, rules.DELTA_OP, rules.DELTA_ID, rules.DELTA_INDEX,
            rules.GROUP_WHOLE, rules.STREAM_ID, rules.VERSION, rules.EPOCH, rules.FIRST_SEQ,
            rules.ROW_JSON, rules.CURSOR_ARITY, rules.CURSOR_VALUES, rules.SORT_ORDER,
            rules.COMPLETE_MISPLACED, rules.RESET_BARE, rules.STAYS_OPEN,
        ),
    ),
    Probe(opening, (rules.OPENING,)),
    Probe(heartbeats, (rules.HEARTBEAT_TIME, rules.HEARTBEAT_POSITION)),
)  # fmt: skip
LAST_PROBES = (Probe(graceful_end, (rules.GRACEFUL_END,)),)


async def verify(
    target: Target,
    query: pb.LiveQuery,
    *,
    times: Times | None = None,
    only: Iterable[Rule] = (),
    mask: Callable[[str], str] = lambda text: text,
    write: Hook | None = None,
    stop: Hook | None = None,
) -> Ledger:
    """Judge the tier at `target` by every rule, or by `only` these.

    Args:
        target: where the tier is.
        query: a maintained query that it serves.
        times: how patient to be.
        only: the rules to report; probes for no other rule run.
        mask: takes secrets out of what is reported.
        write: makes one change, whenever called.
        stop: stops the tier; called last.

    Raises:
        RefusedError: the tier refused the query itself.

    """
    chosen = frozenset(only)
    ledger = Ledger(chosen, mask=mask)
    client = TierClient(target)
    session = VerifySession(client, ledger, query, times=times or Times(), write=write, stop=stop)
    try:
        await _run(session, chosen)
    finally:
        await session.close()
        await client.close()
    return ledger


async def _run(session: VerifySession, chosen: frozenset[Rule]) -> None:
    ledger = session.ledger
    try:
        await contact(session)
    except NoServiceError:
        ledger.skip(OUT_OF_REACH, *(rule for rule in RULES if rule is not rules.SERVICE))
        return
    try:
        await main_stream(session)
    except RefusedError:
        raise
    except NotJudgedError as reason:
        _give_up(ledger, str(reason))
        return
    watch = ConnectionWatch(session)
    try:
        for probe in PROBES:
            if chosen and chosen.isdisjoint(probe.rules):
                continue
            await _probe(session, probe)
        watch.judge()
    finally:
        await watch.end()
    for probe in LAST_PROBES:
        if not chosen or not chosen.isdisjoint(probe.rules):
            await _probe(session, probe)
    session.judge_end(session.main)


async def _probe(session: VerifySession, probe: Probe) -> None:
    try:
        await probe.run(session)
    except NotJudgedError as reason:
        session.ledger.not_judged(str(reason), *probe.rules)


def _give_up(ledger: Ledger, reason: str) -> None:
    for outcome in ledger.outcomes():
        if not outcome.judged and not outcome.not_judged:
            ledger.not_judged(reason, outcome.rule)
