import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.core.batch import Batch
from bridge.core.frame_encoding import RESET, encode
from bridge.core.op import Op
from bridge.core.sequencer import CallPosition, Heartbeat, Resync, Sequencer, Snapshot
from bridge.core.streamed_set import StreamedSet
from bridge.core.window import Window
from core_makers import enter, quick, shown, thorough

LIMIT = 5


def new_sequencer(limit=LIMIT):
    return Sequencer(Window(limit))


def described(event):
    """An event in plain values, to compare the output of two sequencers."""
    if isinstance(event, Snapshot):
        return ("snapshot", event.first, shown(event.rows))
    return ("group", event.stream_id, event.at, [one.data for one in event.frames])


def take_quickly(sequencer, batch):
    """What a sequencer makes of a batch, the quick way where it goes."""
    changes = sequencer.changes(batch)
    return sequencer.feed(batch) if changes is None else changes


def follow(batches, sequencer=None, take=Sequencer.feed):
    """Feed batches until they end or the call is lost; return the events and the cause."""
    sequencer = sequencer or new_sequencer()
    out = []
    for batch in batches:
        try:
            if isinstance(batch, Heartbeat):
                sequencer.check_heartbeat(batch)
            else:
                out.extend(map(described, take(sequencer, batch)))
        except Resync as resync:
            return out, resync.cause
    return out, None


def snapshot(ids, **said):
    return Batch((RESET, *(enter(i, at) for at, i in enumerate(ids))), **said)


def update(stream_id, agg_id="a", version=2):
    return encode(Op.UPDATE, agg_id, version, b"{}", 0, 0, (agg_id,), stream_id)


# ---------------------------------------------------------------- a tier that may be mangled


@st.composite
def calls(draw, *, epochs=True, seqs=True):
    """All batches of one call: snapshots in pieces, then changes, then the next epoch."""
    batches, epoch, seq, stream = [], draw(st.integers(1, 3)), draw(st.integers(1, 5)), 0

    def send(deltas, *, complete=False):
        nonlocal seq
        batches.append(
            Batch(
                tuple(deltas),
                epoch=epoch if epochs else 0,
                first_seq=seq if seqs else 0,
                snapshot_complete=complete,
            )
        )
        seq += len(deltas)

    for _ in range(draw(st.integers(1, 3))):
        ids = draw(st.lists(st.sampled_from("abcdefg"), unique=True, max_size=LIMIT))
        pending = [RESET, *(enter(i, at) for at, i in enumerate(ids))]
        while pending:
            size = draw(st.integers(1, len(pending)))
            piece, pending = pending[:size], pending[size:]
            send(piece, complete=not pending and draw(st.booleans()))
        if not batches[-1].snapshot_complete:
            send((), complete=True)
        for _ in range(draw(st.integers(0, 4))):
            deltas = []
            for _ in range(draw(st.integers(1, 2))):
                stream += 1
                deltas += [update(f"{stream}-0", version=stream)] * draw(st.integers(1, 2))
            send(deltas)
        epoch += 1
    return batches


def last_seq(batches):
    return max(batch.first_seq + len(batch.deltas) - 1 for batch in batches)


def final_beat(batches):
    return Heartbeat(max(batch.epoch for batch in batches), last_seq(batches))


@st.composite
def mangled(draw, batches):
    """Drop, repeat, reorder and rebatch."""
    batches = list(batches)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, max(len(batches) - 1, 0)))
        match draw(st.sampled_from(["drop", "repeat", "swap", "late"])):
            case "drop" if len(batches) > 1:
                del batches[at]
            case "repeat":
                batches.insert(draw(st.integers(at, len(batches))), batches[at])
            case "swap" if at + 1 < len(batches):
                batches[at], batches[at + 1] = batches[at + 1], batches[at]
            case "late":
                batches.append(batches.pop(at))
    return batches


def history(batches):
    """Feed batches; return the windows that viewers had one after another, and the cause."""
    sequencer, mirror, windows = new_sequencer(), Window(LIMIT), []
    try:
        for batch in batches:
            if isinstance(batch, Heartbeat):
                sequencer.check_heartbeat(batch)
                continue
            for event in sequencer.feed(batch):
                if isinstance(event, Snapshot):
                    mirror = Window(LIMIT, event.rows)
                else:
                    mirror.reduce(event.frames)
                windows.append(shown(mirror.snapshot()))
    except Resync as resync:
        return windows, resync.cause
    return windows, "still waiting" if sequencer.awaiting_snapshot else None


@settings(thorough, max_examples=600)
@given(st.data(), calls())
def test_a_mangled_call_ends_in_the_window_of_the_intact_one_or_in_a_resync(data, batches):
    truth, cause = history(batches)
    assert cause is None
    windows, cause = history([*data.draw(mangled(batches)), final_beat(batches)])
    remaining = iter(truth)
    assert all(window in remaining for window in windows), "only windows of the truth, in its order"
    assert cause is not None or windows[-1] == truth[-1]


@thorough
@given(st.data(), calls(seqs=False))
def test_late_deltas_of_an_older_epoch_never_get_out(data, batches):
    clean, _ = follow(batches)
    mixed = list(batches)
    for late in data.draw(st.lists(st.sampled_from(batches), max_size=3)):
        after = [i for i, batch in enumerate(mixed) if batch.epoch > late.epoch]
        if after:
            mixed.insert(data.draw(st.integers(after[0] + 1, len(mixed))), late)
    assert follow(mixed) == (clean, None)


@thorough
@given(calls(epochs=False, seqs=False))
def test_a_tier_that_numbers_nothing_is_followed(batches):
    numbered = [
        Batch(b.deltas, epoch=0, first_seq=0, snapshot_complete=b.snapshot_complete)
        for b in batches
    ]
    out, cause = follow([*numbered, Heartbeat(), Heartbeat(9, 9)])
    assert cause is None
    assert [event[0] for event in out].count("snapshot") == sum(
        b.snapshot_complete for b in batches
    )


@thorough
@given(st.data(), calls())
def test_changes_taken_the_quick_way_are_those_of_the_long_one(data, batches):
    batches = data.draw(mangled(batches))
    by_feed, quickly = new_sequencer(), new_sequencer()
    assert follow(batches, by_feed) == follow(batches, quickly, take_quickly)
    assert by_feed.position == quickly.position
    assert by_feed.take_dropped() == quickly.take_dropped()
    assert by_feed.take_notes() == quickly.take_notes()
    assert by_feed.last_delta is quickly.last_delta
    again = batches[-1:]
    assert follow(again, by_feed) == follow(again, quickly, take_quickly)


def test_only_what_follows_at_once_goes_the_quick_way():
    sequencer = begun(epoch=1, first_seq=1)
    assert sequencer.changes(Batch((update("1-0"),), epoch=1, first_seq=5)) is None, "a gap"
    assert sequencer.changes(Batch((update("1-0"),), epoch=1, first_seq=3)) is None, "a repetition"
    assert sequencer.changes(Batch((update("1-0"),), epoch=2, first_seq=4)) is None
    assert sequencer.changes(Batch((RESET,), epoch=1, first_seq=4)) is None
    [event] = sequencer.changes(Batch((update("1-0"),), epoch=1, first_seq=4))
    assert event.stream_id == "1-0"


@quick
@given(st.data(), calls())
def test_a_bare_reset_anywhere_ends_the_call_there(data, batches):
    at = data.draw(st.integers(0, len(batches)))
    clean, _ = follow(batches[:at])
    bare = Batch((RESET,), bare=True)
    assert follow([*batches[:at], bare, *batches[at:]]) == (clean, "bare_reset")


@quick
@given(calls())
def test_nothing_of_a_snapshot_gets_out_before_all_of_it_is_there(batches):
    sequencer = new_sequencer()
    opened = False
    for batch in batches:
        out = list(sequencer.feed(batch))
        opened = opened or any(delta.op == Op.RESET for delta in batch.deltas)
        if opened and not batch.snapshot_complete:
            assert out == []
            assert sequencer.awaiting_snapshot
        opened = opened and not batch.snapshot_complete
    assert not sequencer.awaiting_snapshot


# ---------------------------------------------------------------- snapshots


def test_a_snapshot_is_whole_ordered_and_first_once():
    sequencer = new_sequencer()
    [one] = sequencer.feed(snapshot("abc", snapshot_complete=True))
    [two] = sequencer.feed(snapshot("b", snapshot_complete=True))
    assert [r.agg_id for r in one.rows] == ["a", "b", "c"]
    assert (one.first, two.first) == (True, False)


def test_an_empty_window_is_a_reset_alone():
    [event] = new_sequencer().feed(snapshot("", snapshot_complete=True))
    assert event == Snapshot((), first=True, reanchor=None, request_id="")


def test_the_closing_batch_may_be_empty():
    sequencer = new_sequencer()
    assert list(sequencer.feed(snapshot("ab"))) == []
    [event] = sequencer.feed(Batch(snapshot_complete=True))
    assert len(event.rows) == 2


def test_a_snapshot_begun_anew_is_not_mixed_with_the_half_received():
    sequencer = new_sequencer()
    assert list(sequencer.feed(snapshot("abc", epoch=1))) == []
    [event] = sequencer.feed(snapshot("x", epoch=2, snapshot_complete=True))
    assert [r.agg_id for r in event.rows] == ["x"]


def test_the_end_of_an_older_snapshot_does_not_close_the_present_one():
    sequencer = new_sequencer()
    list(sequencer.feed(snapshot("ab", epoch=1, first_seq=1)))
    list(sequencer.feed(snapshot("x", epoch=2, first_seq=4)))
    assert list(sequencer.feed(Batch(epoch=1, snapshot_complete=True))) == []
    assert sequencer.awaiting_snapshot


def test_changes_within_a_snapshot_are_part_of_it():
    sequencer = new_sequencer(limit=2)
    list(sequencer.feed(snapshot("ab")))
    late = Batch((enter("x", 0, "5-0"), update("6-0", "x", 3)), snapshot_complete=True)
    [event] = sequencer.feed(late)
    assert [(r.agg_id, r.version) for r in event.rows] == [("x", 3), ("a", 1)]


def test_a_snapshot_has_no_more_rows_than_the_limit_and_a_widened_one_has_more():
    sequencer = new_sequencer(limit=2)
    [event] = sequencer.feed(snapshot("abcd", snapshot_complete=True))
    assert len(event.rows) == 2
    sequencer.raise_limit(3)
    sequencer.raise_limit(1)
    [event] = sequencer.feed(snapshot("abcd", snapshot_complete=True))
    assert len(event.rows) == 3


def test_a_snapshot_has_the_cause_of_the_reset_that_began_it():
    sequencer = new_sequencer()
    list(sequencer.feed(snapshot("a", reanchor=True, request_id="r1")))
    [event] = sequencer.feed(Batch(snapshot_complete=True, reanchor=False, request_id="r2"))
    assert (event.reanchor, event.request_id) == (True, "r1")


def test_a_streamed_snapshot_has_no_bound():
    sequencer = Sequencer(StreamedSet())
    ids = [f"r{i}" for i in range(50)]
    sequencer.raise_limit(1)
    [event] = sequencer.feed(snapshot(ids, snapshot_complete=True))
    assert [r.agg_id for r in event.rows] == ids


# ---------------------------------------------------------------- order


def begun(**said):
    sequencer = new_sequencer()
    list(sequencer.feed(snapshot("ab", snapshot_complete=True, **said)))
    return sequencer


def test_the_groups_of_a_batch_come_apart_by_stream_id():
    batch = Batch((update("1-0"), update("1-0", "b"), update("2-0"), update("")))
    events = list(begun().feed(batch))
    assert [(e.stream_id, len(e.frames)) for e in events] == [("1-0", 2), ("2-0", 1), ("", 1)]


def test_the_time_of_a_group_is_its_first_deltas():
    [event] = begun().feed(Batch((encode(Op.LEAVE, "a", stream_id="1-0", at=7.5),)))
    assert event.at == 7.5


def test_a_sequence_seen_before_is_dropped_whole_or_in_part():
    sequencer = begun(first_seq=1)
    assert len(list(sequencer.feed(Batch((update("1-0"), update("2-0")), first_seq=4)))) == 2
    assert list(sequencer.feed(Batch((update("1-0"), update("2-0")), first_seq=4))) == []
    [event] = sequencer.feed(Batch((update("2-0"), update("3-0")), first_seq=5))
    assert (event.stream_id, sequencer.take_dropped()) == ("3-0", 3)


@pytest.mark.parametrize(
    "batch",
    [
        Batch((update("1-0"),), first_seq=5),
        Batch(first_seq=5),
        Batch((RESET,), epoch=2, first_seq=5),
    ],
)
def test_a_missing_sequence_ends_the_call_even_if_an_empty_batch_reveals_it(batch):
    sequencer = begun(first_seq=1, epoch=1)
    with pytest.raises(Resync, match="gap"):
        list(sequencer.feed(batch))


def test_a_snapshot_that_lost_rows_is_not_closed_by_an_empty_batch():
    batches = [snapshot("a", first_seq=1), Batch(first_seq=4, snapshot_complete=True)]
    assert follow(batches) == ([], "gap")


def test_late_deltas_of_an_older_epoch_use_up_their_sequence():
    sequencer = begun(epoch=1, first_seq=1)
    list(sequencer.feed(snapshot("b", epoch=2, first_seq=4, snapshot_complete=True)))
    assert list(sequencer.feed(Batch((update("1-0"),), epoch=1, first_seq=6))) == []
    [event] = sequencer.feed(Batch((update("2-0"),), epoch=2, first_seq=7))
    assert (event.stream_id, sequencer.take_dropped()) == ("2-0", 1)


def test_late_deltas_of_an_older_epoch_hide_no_gap():
    sequencer = begun(epoch=2, first_seq=1)
    assert list(sequencer.feed(Batch((update("1-0"),), epoch=1, first_seq=6))) == []
    with pytest.raises(Resync, match="gap"):
        list(sequencer.feed(Batch((update("2-0"),), epoch=2, first_seq=7)))


def test_the_first_sequence_is_taken_as_it_comes():
    assert list(begun(first_seq=1000).feed(Batch((update("1-0"),), first_seq=1003)))


def test_a_new_epoch_begins_with_a_reset():
    with pytest.raises(Resync, match="epoch_without_reset"):
        list(begun(epoch=1).feed(Batch((update("1-0"),), epoch=2)))


def test_the_end_of_a_snapshot_whose_reset_was_lost_closes_no_older_one():
    batches = [snapshot("abc", epoch=1), Batch(epoch=2, snapshot_complete=True)]
    assert follow(batches) == ([], "epoch_without_reset")


def test_an_empty_batch_ahead_of_its_epochs_reset_is_harmless():
    out, cause = follow([Batch(epoch=1), snapshot("a", epoch=1, snapshot_complete=True)])
    assert (len(out), cause) == (1, None)


def test_deltas_before_any_snapshot_end_the_call():
    assert follow([Batch((update("1-0"),))]) == ([], "no_snapshot")


@pytest.mark.parametrize(
    "bad",
    [
        encode(Op.UPDATE, "a", row=b"{"),
        encode(Op.UPDATE, "a", stream_id="\n"),
        encode(Op.UPDATE, "a", cursor=(float("nan"),)),
    ],
)
def test_an_unreadable_delta_ends_the_call_and_what_came_before_it_is_kept(bad):
    out, cause = follow([snapshot("a", snapshot_complete=True), Batch((update("1-0"), bad))])
    assert ([event[0] for event in out], cause) == (["snapshot", "group"], "unreadable")


def test_an_unreadable_delta_that_was_seen_before_or_is_of_an_older_epoch_ends_nothing():
    sequencer = begun(epoch=2, first_seq=1)
    bad = encode(Op.UPDATE, "a", row=b"{")
    assert list(sequencer.feed(Batch((bad,), epoch=1))) == []
    [event] = sequencer.feed(Batch((bad, update("1-0")), epoch=2, first_seq=3))
    assert event.stream_id == "1-0"
    with pytest.raises(Resync, match="unreadable"):
        list(sequencer.feed(Batch((bad,), epoch=2, first_seq=5)))


# ---------------------------------------------------------------- heartbeats


@pytest.mark.parametrize(
    ("beat", "gap"),
    [
        (Heartbeat(1, 3), False),
        (Heartbeat(1, 2), False),
        (Heartbeat(1, 4), True),
        (Heartbeat(0, 4), False),
        (Heartbeat(2, 4), True),
        (Heartbeat(2, 3), False),
        (Heartbeat(), False),
    ],
)
def test_a_heartbeat_exposes_what_was_lost_at_the_tail(beat, gap):
    sequencer = begun(epoch=1, first_seq=1)
    if gap:
        with pytest.raises(Resync, match="gap"):
            sequencer.check_heartbeat(beat)
    else:
        sequencer.check_heartbeat(beat)


def test_a_heartbeat_before_anything_numbered_proves_nothing():
    new_sequencer().check_heartbeat(Heartbeat(1, 10))
    begun().check_heartbeat(Heartbeat(0, 10))


# ---------------------------------------------------------------- continued calls


def at(epoch, seq, stream_id=""):
    return CallPosition(epoch, seq, stream_id)


def after(position):
    return Sequencer(Window(LIMIT), position)


def test_a_position_is_that_of_the_last_delta_handed_over():
    sequencer = new_sequencer()
    assert sequencer.position is None
    list(sequencer.feed(snapshot("ab", epoch=4, first_seq=10)))
    assert sequencer.position is None, "a snapshot is under way"
    list(sequencer.feed(Batch(epoch=4, first_seq=13, snapshot_complete=True)))
    assert sequencer.position == at(4, 12)
    list(sequencer.feed(Batch((update("1-0"), update("2-0")), epoch=4, first_seq=13)))
    assert sequencer.position == at(4, 14, "2-0")
    list(sequencer.feed(Batch((update("2-0"), update("")), epoch=4, first_seq=14)))
    assert sequencer.position == at(4, 15)
    list(sequencer.feed(Batch((RESET,), epoch=5, first_seq=16)))
    assert sequencer.position is None


def test_a_position_counts_what_is_handed_over_and_not_what_has_come():
    sequencer = begun(epoch=1, first_seq=1)
    events = sequencer.feed(Batch((update("1-0"), update("2-0")), epoch=1, first_seq=4))
    next(events)
    assert sequencer.position == at(1, 3)
    list(events)
    assert sequencer.position == at(1, 5, "2-0")


def test_deltas_too_late_are_counted_in_a_position():
    sequencer = begun(epoch=2, first_seq=1)
    list(sequencer.feed(Batch((update("1-0"),), epoch=1, first_seq=4)))
    assert sequencer.position == at(2, 4)


def test_without_numbers_there_is_no_position():
    sequencer = begun(epoch=1)
    assert sequencer.position is None
    sequencer = begun(first_seq=1)
    assert sequencer.position == at(0, 3), "without epochs there is"
    list(sequencer.feed(Batch((update("1-0"),))))
    assert sequencer.position is None, "nor is there behind a delta that has none"
    list(sequencer.feed(Batch((update("2-0"),), first_seq=4)))
    assert sequencer.position == at(0, 4, "2-0")


def test_a_position_that_the_schema_has_no_room_for_is_none():
    sequencer = begun(first_seq=2**64 - 3)
    assert sequencer.position == at(0, 2**64 - 1)
    list(sequencer.feed(Batch((update("1-0"),), first_seq=2**64)))
    assert sequencer.position is None


@thorough
@given(st.data(), calls())
def test_a_call_cut_anywhere_and_continued_ends_in_the_window_of_the_uncut_one(data, batches):
    whole, _ = follow(batches)
    cut = data.draw(st.integers(0, len(batches)))
    sequencer = new_sequencer()
    out, _ = follow(batches[:cut], sequencer)
    position = sequencer.position
    if position is None:
        assert cut == 0 or sequencer.awaiting_snapshot
        return
    # The tier may repeat what came before; what comes behind must be there.
    again = data.draw(st.integers(0, cut))
    second = after(position)
    assert second.position == position
    assert not second.awaiting_snapshot
    rest, cause = follow(batches[again:], second)
    assert (out + rest, cause) == (whole, None)
    beyond = [batch for batch in batches[cut:] if batch.deltas][1:]
    if beyond:
        _, cause = follow(beyond, after(position))
        assert cause == "gap"


def test_a_continued_call_awaits_no_snapshot_and_its_next_one_is_not_first():
    sequencer = after(at(3, 9, "1-0"))
    [group] = sequencer.feed(Batch((update("2-0"),), epoch=3, first_seq=10))
    assert group.stream_id == "2-0"
    [event] = sequencer.feed(snapshot("a", epoch=4, first_seq=11, snapshot_complete=True))
    assert not event.first


@pytest.mark.parametrize(
    ("batch", "cause"),
    [
        (Batch((update("1-0"),), epoch=3, first_seq=11), "gap"),
        (Batch((update("1-0"),), epoch=3), "gap"),
        (Batch((update("1-0"),), epoch=2, first_seq=10), "gap"),
        (Batch((update("1-0"),), epoch=2), "gap"),
        (Batch((update("1-0"),), epoch=4, first_seq=10), "epoch_without_reset"),
        (Heartbeat(3, 10), "gap"),
        (Heartbeat(3, 9), None),
        (Heartbeat(2, 9), "gap"),
        (Heartbeat(0, 9), None),
        (Batch((update("1-0"),), epoch=2, first_seq=9), None),
        (Batch((update("1-0"), update("2-0")), epoch=3, first_seq=8), None),
        (Batch(epoch=3), None),
    ],
)
def test_a_call_continues_exactly_where_it_said_or_ends_in_a_resync(batch, cause):
    assert follow([batch], after(at(3, 9))) == ([], cause)
