"""Tiers that do what the contract asks pass; tiers under load are not accused."""

import asyncio
import itertools
import re
import signal
import sqlite3
import time
from pathlib import Path

import grpc
import pytest
from model_tier import INVALID, ModelTier, Refusal, ResumingTier

from bridge.verify.calls import CallEnd, Target, TierClient
from bridge.verify.ledger import Ledger, Verdict
from bridge.verify.rules import BY_ID
from bridge.verify.runner import verify
from bridge.verify.session import NotJudgedError, VerifySession
from bridge.verify.times import Times
from bridge.verify.wakeup import Wakeup
from livequery.v1 import livequery_pb2 as pb
from livetier.server import TierOptions, start_tier
from ops_support import free_port
from patience import patient
from scripted_tier import scripted_process

pytestmark = pytest.mark.early

THINGS = pb.LiveQuery(entity="things", sort=[pb.SortKey(column="n")], limit=5)
FLIGHTS = pb.LiveQuery(entity="flights", sort=[pb.SortKey(column="est_dep")], limit=10)
CHANGE_A_TAIL = (
    "UPDATE flights SET tail = ? WHERE id ="
    " (SELECT id FROM flights ORDER BY est_dep, id LIMIT 1 OFFSET 2)"
)
UNHEARD = (Verdict.SKIPPED, Verdict.NOT_JUDGED)


def worse(ledger):
    return {o.rule.id: o.findings for o in ledger.outcomes() if o.findings}


def unheard(ledger):
    return {o.rule.id for o in ledger.outcomes() if o.verdict in UNHEARD}


async def judge(tier, query=THINGS, **times):
    wish = patient(0.2)  # the machine may let a tier sleep for longer than it wanted to
    patience = {"quiet": 0.1, "watch": 0.3, "pause": 0.1, "heartbeat_wish": wish, **times}
    return await verify(
        Target(tier.address),
        query,
        times=Times(**patience),
        write=getattr(tier, "change", None),
        stop=tier.stop,
    )


class Promising(ResumingTier):
    promise = True


class Unnumbered(ModelTier):
    numbered = False


class Minimal(ModelTier):
    """`started` with an id, snapshots, batches: nothing of what more a tier may send."""

    numbered = False

    def started(self, subscription, request, resumed):
        return pb.SubscribeResponse(started=pb.Started(subscription_id=subscription.id))

    def delta(self, op, row, old, new, subscription, stamp=""):
        delta = super().delta(op, row, old, new, subscription)
        delta.ClearField("cursor")
        delta.ClearField("version")
        return delta

    def batches(self, subscription, deltas, complete):
        deltas = list(deltas)
        if deltas[0].op == pb.DELTA_OP_RESET:
            deltas[0] = pb.LiveDelta(op=pb.DELTA_OP_RESET)
        # The batch that completes a snapshot may be empty.
        return [(deltas, False), ([], True)] if complete else [(deltas, False)]

    def judge(self, query):
        super().judge(query)
        if query.mode == pb.MODE_STREAMED:
            raise Refusal(INVALID, reason="NO_MODE", field="mode")

    async def reanchor(self, request):
        raise Refusal(grpc.StatusCode.UNIMPLEMENTED)


class SmallBatches(ModelTier):
    """A snapshot in batches of two."""

    def batches(self, subscription, deltas, complete):
        if not complete:
            return [(deltas, False)]
        parts = [deltas[at : at + 2] for at in range(0, len(deltas), 2)]
        return [(part, part is parts[-1]) for part in parts]


class FewStreamsPerConnection(ModelTier):
    def options(self):
        return (*super().options(), ("grpc.max_concurrent_streams", 3))


@pytest.mark.parametrize(
    "made", [ModelTier, Promising, Unnumbered, Minimal, SmallBatches, FewStreamsPerConnection]
)
async def test_a_tier_that_does_what_the_contract_asks_passes(made, start):
    ledger = await judge(await start(made()))
    assert not worse(ledger)


class StandsStill(Promising):
    """Once, all of its process stands still for longer than three heartbeats: the kit, too."""

    stood = False

    async def change(self):
        if not self.stood:
            self.stood = True
            end = time.monotonic() + 0.8
            while time.monotonic() < end:
                pass
        await super().change()


async def test_while_the_kit_itself_stood_still_no_tier_was_silent(start):
    tier = await start(StandsStill())
    ledger = await judge(tier, heartbeat_wish=0.2)
    assert tier.stood
    assert not worse(ledger)


async def test_a_tier_that_sends_and_grants_everything_leaves_no_rule_unjudged(start):
    promising = Promising()
    types = {"id": pb.COLUMN_TYPE_STRING, "n": pb.COLUMN_TYPE_INT, "label": pb.COLUMN_TYPE_STRING}
    columns = [pb.Column(name=name, type=kind, nullable=True) for name, kind in types.items()]
    entity = pb.Entity(name="things", columns=columns, key=["id"])
    promising.describes = pb.DescribeResponse(entities=[entity]).SerializeToString()
    tier = await start(promising)
    assert unheard(await judge(tier)) <= {"goaway", "pings"}, "which need a long run"


async def test_a_descending_query_and_one_with_an_anchor_pass(start):
    tier = await start(ModelTier())
    query = pb.LiveQuery(
        entity="things",
        sort=[pb.SortKey(column="n", desc=True)],
        limit=4,
        cursor=pb.Cursor(values=[pb.Value(int_value=70), pb.Value(string_value="t7")]),
    )
    assert not worse(await judge(tier, query))


async def test_an_empty_window_passes_and_what_needs_rows_is_skipped_with_the_reason(start):
    tier = ModelTier()
    tier.rows.clear()
    tier.changes = lambda: [lambda: "t0"]
    tier.script = itertools.cycle(tier.changes())
    ledger = await judge(await start(tier))
    assert not worse(ledger)
    assert ledger.outcome(BY_ID["paging"]).reason == (
        "the window has 0 rows; at least 3 are needed"
    )


async def test_without_a_write_command_a_still_tier_is_asked_for_one(start):
    tier = await start(ModelTier())
    ledger = await verify(Target(tier.address), THINGS, times=Times(watch=0.1, pause=0.1))
    assert not worse(ledger)
    assert "--write-command" in ledger.outcome(BY_ID["window-kept"]).reason
    assert "--stop-command" in ledger.outcome(BY_ID["graceful-end"]).reason


async def test_only_some_rules_run_only_their_probes(start):
    tier = await start(ModelTier())
    chosen = [BY_ID["status-limit"], BY_ID["snapshot-indexes"]]
    ledger = await verify(Target(tier.address), THINGS, only=chosen)
    assert {o.rule.id: o.verdict for o in ledger.outcomes()} == {
        "snapshot-indexes": Verdict.OK,
        "status-limit": Verdict.OK,
    }
    assert next(tier.names) < 5


async def test_the_minimal_tier_of_the_documentation_passes_with_warnings_at_most():
    text = (Path(__file__).parents[2] / "docs" / "contract.md").read_text()
    section = text.partition("## A minimal tier in Python")[2]
    source = re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]
    address = f"127.0.0.1:{free_port()}"
    source = source.replace("127.0.0.1:50051", address).replace(
        "    await server.start()\n", "    await server.start()\n    print(flush=True)\n"
    )
    query = pb.LiveQuery(entity="ticks", limit=5)
    async with scripted_process(source):
        ledger = await verify(
            Target(address), query, times=Times(pause=0.1, changes=2, watch=10, parallel=20)
        )
    assert set(worse(ledger)) == {"error-details"}
    assert ledger.outcome(BY_ID["window-kept"]).verdict in (Verdict.OK, Verdict.NOT_JUDGED)


# ---------------------------------------------------------------- under load


class Slow(grpc.aio.ServerInterceptor):
    """Every call waits, as on a machine that has too much to do."""

    async def intercept_service(self, continuation, details):
        await asyncio.sleep(0.5)
        return await continuation(details)


async def test_a_slow_tier_is_told_to_be_slow_and_not_accused(start):
    tier = ModelTier()
    tier.interceptors = (Slow(),)
    await start(tier)
    ledger = await judge(tier, started=0.1, snapshot=0.1, reanchor=0.1, answer=0.1, slow=0.2)
    assert not worse(ledger)
    assert ledger.outcome(BY_ID["started-time"]).reason == "answers were slow"
    assert any("slowly" in note for note in ledger.notes)


async def test_a_tier_that_changes_all_the_time_is_not_accused_and_that_is_said(start):
    tier = await start(ModelTier())

    async def busy():
        while True:
            await tier.change()
            await asyncio.sleep(0.002)

    changing = asyncio.create_task(busy())
    try:
        ledger = await judge(tier, settle=0.5, parallel=10)
    finally:
        changing.cancel()
        await asyncio.wait([changing])
    assert not worse(ledger)
    assert ledger.outcome(BY_ID["paging"]).reason == "the tier changed all the time"
    assert ledger.outcome(BY_ID["delta-index"]).verdict is Verdict.OK


@pytest.mark.parametrize("turn", [1, 10])  # the first, and the last
async def test_a_wait_counts_no_turn_in_which_this_process_stood_still(turn):
    came, looks = [], itertools.count(1)

    async def stand_still_then_read():
        time.sleep(0.3)  # noqa: ASYNC251 - longer than the whole wait
        for _ in range(3):  # what came meanwhile is read some turns later
            await asyncio.sleep(0)
        came.append(True)

    reader = None

    def holds():
        nonlocal reader
        if next(looks) == turn:
            reader = asyncio.create_task(stand_still_then_read())
        return came

    assert await Wakeup().until(holds, within=0.2)
    await reader


async def test_a_wait_ends_on_a_machine_that_is_slow_all_the_time():
    def holds():
        time.sleep(0.01)  # five times as long as a turn

    assert not await Wakeup().until(holds, within=0.02)


async def test_no_tier_is_accused_by_a_stream_that_ended_while_it_was_looked_at(start):
    class Session(VerifySession):
        async def slow(self):
            kept.end = CallEnd("UNAVAILABLE")
            return False

    tier = await start(ModelTier())
    client = TierClient(Target(tier.address))
    times = Times(settle=0.05, quiet=0.05)
    session = Session(client, Ledger(), THINGS, times=times)
    kept = await session.whole(THINGS)
    other = pb.LiveQuery()
    other.CopyFrom(THINGS)
    other.limit = 3
    with pytest.raises(NotJudgedError, match="a stream ended"):
        await session.difference(kept, other)
    await session.close()
    await client.close()


# ---------------------------------------------------------------- the embedded tier


async def test_the_embedded_tier_passes_while_it_plays_and_others_write():
    tier = await start_tier(TierOptions())
    connection = sqlite3.connect(
        tier.database, isolation_level=None, timeout=10, check_same_thread=False
    )
    tails = itertools.count()

    async def write():
        await asyncio.to_thread(connection.execute, CHANGE_A_TAIL, (f"N{next(tails)}",))

    try:
        ledger = await verify(
            Target(tier.address),
            FLIGHTS,
            times=Times(pause=0.3, changes=4),
            write=write,
            stop=tier.stop,
        )
    finally:
        connection.close()
        await tier.stop()
    assert not worse(ledger)
    # It keeps nothing to resume from, and flights are not sorted by a number here.
    # Nor is a heartbeat sent where changes come all the time.
    # No connection is old enough for a GOAWAY, and no run long enough for four pings.
    lawful = {
        *("number-kinds", "resume-id", "resume-numbers", "resume-query", "heartbeat-position"),
        *("goaway", "pings", "where"),
    }
    loaded = {o.rule.id for o in ledger.outcomes() if o.verdict is Verdict.NOT_JUDGED}
    assert unheard(ledger) - loaded <= lawful


STOPPED, RUNNING = 0.35, 0.1
"""Seconds: the process gets less than a quarter of a processor, in pieces."""
TIER_ALONE = """
import asyncio
from livetier.server import TierOptions, start_tier

async def main():
    tier = await start_tier(TierOptions(speed=0))
    print(tier.address, tier.database, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_tier_whose_process_stands_still_most_of_the_time_is_not_accused():
    """As on a machine that is given to others: by SIGSTOP and SIGCONT."""
    async with scripted_process(TIER_ALONE) as (child, said):
        address, _, database = said.partition(" ")
        rows = sqlite3.connect(database, isolation_level=None, timeout=60, check_same_thread=False)
        tails = itertools.count()

        async def write():
            await asyncio.to_thread(rows.execute, CHANGE_A_TAIL, (f"N{next(tails)}",))

        async def throttle():
            while True:
                child.send_signal(signal.SIGSTOP)
                await asyncio.sleep(STOPPED)
                child.send_signal(signal.SIGCONT)
                await asyncio.sleep(RUNNING)

        throttling = asyncio.create_task(throttle())
        try:
            ledger = await verify(
                Target(address), FLIGHTS, times=Times(pause=0.3, changes=2), write=write
            )
        finally:
            throttling.cancel()
            await asyncio.wait([throttling])
            child.send_signal(signal.SIGCONT)
            rows.close()
        assert not worse(ledger)
        assert ledger.outcome(BY_ID["snapshot-indexes"]).verdict is Verdict.OK
