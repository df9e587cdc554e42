"""Each planted fault is found by its rule, and no other rule fails."""

from dataclasses import replace

import pytest
import subtle_faults  # noqa: F401 - it plants its own
from planted_faults import FAULTS

from bridge.verify.calls import Target
from bridge.verify.ledger import Verdict
from bridge.verify.rules import BY_ID
from bridge.verify.runner import verify
from bridge.verify.times import Times
from livequery.v1 import livequery_pb2 as pb
from patience import patient

pytestmark = pytest.mark.early

QUERY = pb.LiveQuery(entity="things", sort=[pb.SortKey(column="n")], limit=5)
PATIENCE = {
    "slow": 60.0,  # a fault is never put down to the machine here
    "settle": 0.5,
    "quiet": 0.05,
    "watch": 0.3,
    "pause": 0.02,
    "parallel": 8,
}
WORSE = (Verdict.FAILED, Verdict.WARNING)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
async def test_a_planted_fault_is_found_by_its_rule_and_by_no_unrelated_one(fault, start):
    tier = await start(fault.tier())
    times = Times(**{**PATIENCE, **fault.times})
    # The machine may let a tier sleep for longer than it wanted to.
    times = replace(times, heartbeat_wish=patient(times.heartbeat_wish))
    ledger = await verify(
        Target(tier.address), QUERY, times=times, write=tier.change, stop=tier.stop
    )
    found = {
        outcome.rule.id: [(f.expected, f.got) for f in outcome.findings]
        for outcome in ledger.outcomes()
        if outcome.verdict in WORSE
    }
    rule = BY_ID[fault.rule]
    expected = Verdict.WARNING if rule.warning else Verdict.FAILED
    assert ledger.outcome(rule).verdict is expected, found
    assert set(found) <= {fault.rule, *fault.also}, found


def test_there_are_at_least_forty_faults_and_their_names_differ():
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 40


def test_every_rule_has_a_fault_planted_against_it():
    assert {fault.rule for fault in FAULTS} == set(BY_ID)
