"""The judges alone: messages in, findings out."""

import math

import pytest

from bridge.verify.ledger import MOST_FINDINGS, Ledger, Verdict
from bridge.verify.rows import Row, cursor_fault, json_fault, order_fault, window_difference
from bridge.verify.rules import BY_ID
from bridge.verify.stream_judge import StreamJudge
from livequery.v1 import livequery_pb2 as pb
from scripted_tier import cursor, enter, leave, reset, update, value

QUERY = pb.LiveQuery(entity="things", limit=2)


class Conversation:
    """Feeds a judge; `found` is the rules that were broken."""

    def __init__(self, query=QUERY, **more):
        self.ledger = Ledger()
        self.judge = StreamJudge(self.ledger, query, **more)

    def start(self, **started):
        started = {"subscription_id": "s1", **started}
        self.judge.feed(pb.SubscribeResponse(started=pb.Started(**started)))
        return self

    def batch(self, *deltas, complete=False, **numbers):
        batch = pb.DeltaBatch(deltas=deltas, snapshot_complete=complete, **numbers)
        self.judge.feed(pb.SubscribeResponse(batch=batch))
        return self

    def snapshot(self, *ids, **numbers):
        enters = [enter(agg_id, at) for at, agg_id in enumerate(ids)]
        return self.batch(reset(), *enters, complete=True, **numbers)

    @property
    def found(self):
        return {o.rule.id for o in self.ledger.outcomes() if o.findings}

    @property
    def ids(self):
        return [row.id for row in self.judge.window.rows]


def test_the_conversation_of_the_documents_is_without_findings():
    talk = Conversation().start().snapshot("o7", "o2")
    talk.batch(enter("o9", 0), leave("o2", 2))
    talk.batch(update("o7", 1))
    talk.batch(leave("o9", 0), enter("o2", 1))
    assert not talk.found
    assert talk.ids == ["o7", "o2"]


def test_a_leave_that_comes_a_batch_late_is_found_once():
    talk = Conversation().start().snapshot("a", "b")
    talk.batch(enter("c", 0)).batch(leave("b", 2))
    assert talk.found == {"group-whole"}
    assert talk.ids == ["c", "a"]


def test_after_a_wrong_index_nothing_that_follows_from_it_is_found():
    talk = Conversation().start().snapshot("a", "b")
    talk.batch(leave("b", 0)).batch(update("b", 1)).batch(enter("d", 0)).batch(enter("e", 0))
    assert talk.found == {"delta-index"}
    assert talk.judge.window.doubt == "delta-index"


def test_a_reset_ends_the_doubt():
    talk = Conversation().start().snapshot("a", "b").batch(leave("b", 0)).snapshot("a", "b")
    assert not talk.judge.window.doubt


def test_deltas_of_the_old_epoch_may_arrive_while_the_new_snapshot_does():
    talk = Conversation().start().snapshot("a", epoch=1, first_seq=1)
    talk.batch(reset(), epoch=2, first_seq=3)
    talk.batch(enter("z", 0), epoch=1, first_seq=4)
    talk.batch(complete=True, epoch=2)
    assert talk.found == set()


@pytest.mark.parametrize(
    ("numbers", "rule"),
    [
        ({"epoch": 1, "first_seq": 9}, "first-seq"),
        ({"epoch": 1, "first_seq": 2}, "first-seq"),
        ({"epoch": 1}, "first-seq"),
        ({"epoch": 2, "first_seq": 4}, "epoch"),
        ({"first_seq": 4}, "epoch"),
    ],
)
def test_numbers_are_lawful_or_0_throughout_each_for_itself(numbers, rule):
    talk = Conversation().start().snapshot("a", "b", epoch=1, first_seq=1)
    assert talk.batch(update("a", 0), **numbers).found == {rule}


def test_a_tier_may_number_epochs_only():
    talk = Conversation().start().snapshot("a", epoch=7).batch(update("a", 0), epoch=7)
    assert not talk.snapshot("a", epoch=8).found


def test_a_granted_position_goes_on_from_its_window_and_numbers():
    offer = pb.ResumePosition(subscription_id="s1", epoch=3, seq=9)
    rows = [Row("a", 1, b"{}", ())]
    talk = Conversation(offered=offer, rows=rows).start(resumed=True)
    talk.batch(update("a", 0), epoch=3, first_seq=10)
    assert not talk.found
    assert talk.judge.window.complete
    assert talk.judge.numbering.seq == 10


def test_a_bare_reset_voids_the_window_until_the_next_reset():
    talk = Conversation().start().snapshot("a", "b").batch(reset(bare=True))
    talk.batch(update("a", 0))
    assert talk.found == {"reset-bare"}
    assert talk.judge.window.void
    assert not talk.snapshot("a").judge.window.void


def test_a_smaller_limit_of_the_tier_is_the_windows():
    talk = Conversation().start(effective_query=pb.LiveQuery(entity="things", limit=1))
    assert talk.snapshot("a", "b").found == {"snapshot-limit"}


def test_one_stream_id_over_two_batches_is_a_split_change():
    talk = Conversation().start().snapshot("a", "b")
    talk.batch(leave("b", 1, stream_id="1-0")).batch(enter("c", 1, stream_id="1-0"))
    assert talk.found == {"group-whole"}


def test_several_changes_may_share_a_batch():
    talk = Conversation().start().snapshot("a", "b")
    talk.batch(update("a", 0, stream_id="1-0"), update("b", 1, stream_id="2-0"))
    assert not talk.found
    assert talk.judge.window.changes == 2


@pytest.mark.parametrize(
    "text", [b"", b"{", b"{'a':1}", b'{"a":NaN}', b"[Infinity]", b"\xff\xfe", b'"\xed\xa0\x80"']
)
def test_what_is_not_json_is_said(text):
    assert json_fault(text)


@pytest.mark.parametrize("text", [b"{}", b'{"a":1E+5,"a":2}', b'"\\ud800"', b" null "])
def test_what_is_json_passes(text):
    assert not json_fault(text)


@pytest.mark.parametrize(
    "bad", [pb.Value(), value(math.nan), value(-math.inf), pb.Value(json_value=b"{")]
)
def test_what_no_cursor_may_hold_is_said(bad):
    assert "values[1]" in cursor_fault([value(1), bad])


def rows(*keys):
    return [
        Row(f"r{at}", 0, b"", tuple(cursor(key, f"r{at}").values)) for at, key in enumerate(keys)
    ]


def test_only_numbers_are_judged_by_order():
    ascending, descending = [pb.SortKey(column="n")], [pb.SortKey(column="n", desc=True)]
    assert order_fault(rows(1, 3, 2), ascending)
    assert not order_fault(rows(1, 2.5, 3), ascending)
    assert not order_fault(rows(3, 2, 2), descending)
    assert not order_fault(rows("b", "a"), ascending)
    assert not order_fault(rows(2, None, 1), ascending)


def test_windows_differ_by_ids_versions_and_values_but_not_by_spelling():
    one = [Row("a", 1, b'{"x":1,"y":2}', ())]
    assert not window_difference(one, [Row("a", 1, b'{ "y": 2, "x": 1 }', ())])
    assert not window_difference(one, [Row("a", 0, b"", ())])
    assert window_difference(one, [])
    assert window_difference(one, [Row("b", 1, b"", ())])
    assert window_difference(one, [Row("a", 2, b"", ())])
    assert window_difference(one, [Row("a", 1, b'{"x":1}', ())])
    assert window_difference([Row("a", 1, b"", ())], one), "a row that came without its text"
    at = [[Row("a", 1, b"", (value(n), value("a")))] for n in (29, 29.0, 30)]
    assert not window_difference(at[0], at[1])
    assert window_difference(at[0], at[2])


def test_a_ledger_counts_repetitions_and_keeps_a_few_findings():
    ledger, rule = Ledger(), BY_ID["row-json"]
    for _ in range(3):
        ledger.find(rule, "this", "that")
    for number in range(20):
        ledger.find(rule, "this", str(number))
    outcome = ledger.outcome(rule)
    assert len(outcome.findings) == MOST_FINDINGS
    assert outcome.findings[0].times == 3
    assert sum(finding.times for finding in outcome.findings) == 23


def test_a_verdict_is_the_worst_finding_else_ok_else_the_reason():
    ledger, rule = Ledger(), BY_ID["row-json"]
    assert ledger.outcome(rule).verdict is Verdict.SKIPPED
    ledger.not_judged("slow", rule)
    assert ledger.outcome(rule).verdict is Verdict.NOT_JUDGED
    ledger.ok(rule)
    assert ledger.outcome(rule).verdict is Verdict.OK
    ledger.warn(rule, "a", "b")
    assert ledger.outcome(rule).verdict is Verdict.WARNING
    ledger.find(rule, "a", "c")
    assert ledger.outcome(rule).verdict is Verdict.FAILED
