from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core import log as log_module
from bridge.core.bundle import format_position
from bridge.core.group import Group
from bridge.core.log import CHECKPOINT_EVERY, MAX_BYTES, MAX_GROUPS, Log
from bridge.core.op import Op
from bridge.core.window import Window
from core_makers import (
    enter,
    frame,
    group,
    quick,
    row,
    shown,
    wild_frames,
    window_of,
    windows,
)


@contextmanager
def small_bounds():
    """Checkpoints every 4 groups, at most 8 groups held."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_module, "CHECKPOINT_EVERY", 4)
        patch.setattr(log_module, "MAX_GROUPS", 8)
        yield


def size_of(change):
    return sum(len(one.data) for one in change.frames)


class Recorder:
    """A log, and a plain list of all that was added to it."""

    def __init__(self, mirror):
        self.mirror = mirror
        self.log = Log(mirror.snapshot())
        self.windows = [shown(mirror.snapshot())]
        self.groups = []

    def add(self, sent):
        applied = self.mirror.apply(sent)
        if applied.group is not None:
            self.log.append(applied.group, self.mirror.snapshot)
            self.groups.append(applied.group)
            self.windows.append(shown(self.mirror.snapshot()))

    def check(self):
        log = self.log
        assert log.head == len(self.groups)
        assert log.size == sum(size_of(one) for one in self.groups[log.tail :])
        for position in range(log.tail, log.head + 1):
            after = self.groups[position:]
            assert shown(log.rows_at(position)) == self.windows[position]
            assert log.since(position).groups == list(after)
            assert log.backlog(position) == (
                sum(size_of(one) for one in after),
                sum(len(one.frames) for one in after),
            )


steps = st.lists(st.integers(0, 30) | st.lists(wild_frames(), min_size=1, max_size=3), max_size=30)


@quick
@given(windows(), st.integers(1, 5), steps)
@small_bounds()
def test_every_position_held_has_its_window_groups_and_backlog_also_after_trim(rows, limit, steps):
    recorder = Recorder(Window(limit, rows[:limit]))
    log = recorder.log
    for step in steps:
        if isinstance(step, int):
            tail = log.tail
            log.trim(keep=step)
            assert log.tail <= max(tail, step)
        else:
            recorder.add(group(*step))
    recorder.check()
    log.trim(keep=log.head)
    recorder.check()
    assert log.head - log.tail <= 8


def changes(recorder, count):
    for version in range(2, count + 2):
        recorder.add(group(frame(Op.UPDATE, "b", 1, 1, version)))


def test_a_log_at_its_real_bounds_is_exact():
    recorder = Recorder(Window(3, window_of("abc")))
    changes(recorder, MAX_GROUPS + 2 * CHECKPOINT_EVERY + 5)
    recorder.log.trim(keep=recorder.log.head)
    assert recorder.log.head - recorder.log.tail <= MAX_GROUPS
    assert recorder.log.tail == 3 * CHECKPOINT_EVERY
    for position in (
        recorder.log.tail,
        recorder.log.tail + 1,
        recorder.log.head - 1,
        recorder.log.head,
    ):
        assert shown(recorder.log.rows_at(position)) == recorder.windows[position]


def test_nothing_is_forgotten_that_a_viewer_still_needs():
    recorder = Recorder(Window(3, window_of("abc")))
    changes(recorder, MAX_GROUPS + 2 * CHECKPOINT_EVERY)
    recorder.log.trim(keep=CHECKPOINT_EVERY - 1)
    assert recorder.log.tail == 0
    recorder.log.trim(keep=CHECKPOINT_EVERY)
    assert recorder.log.tail == CHECKPOINT_EVERY
    assert recorder.log.full


def test_a_log_of_large_groups_is_bound_by_bytes():
    log = Log(window_of("a"))
    large = row("a", 2, b'"' + b"x" * (MAX_BYTES // 8) + b'"')
    for _ in range(40):
        log.append(group(large), lambda: (large,))
        log.trim(keep=log.head)
        assert log.size <= MAX_BYTES
    assert log.tail > 30


def test_a_new_log_holds_its_window_and_nothing_else():
    rows = window_of("ab")
    log = Log(rows)
    assert (log.head, log.tail, log.rows_at(0), log.backlog(0)) == (0, 0, rows, (0, 0))
    log.trim(keep=0)
    assert not log.shrink(keep=0)
    assert log.since(0).groups == []


def test_the_bundle_after_a_position_is_the_same_for_all_until_something_is_added():
    log = Log(())
    log.append(group(enter("a", 0), stream_id=""), tuple)
    assert log.since(0) is log.since(0)
    assert log.since(0).positions == [formatted(log, 1)]
    bundle = log.since(0)
    log.append(group(enter("b", 0), stream_id=""), tuple)
    assert log.since(0) is not bundle


# ---------------------------------------------------------------- positions


def formatted(log, position):
    """A position as clients receive it."""
    return format_position(log._token, position)


def named_log(*stream_ids, streamed=False):
    log, window = Log((), streamed=streamed), Window(100)
    for at, stream_id in enumerate(stream_ids):
        added = group(enter(f"r{at}", at, stream_id), stream_id=stream_id)
        window.apply(added)
        log.append(added, window.snapshot)
    return log


def test_a_formatted_position_is_parsed_by_its_own_log_only():
    log, other = named_log("1-0", "2-0"), named_log("1-0", "2-0")
    for position in range(3):
        assert log.parse_position(formatted(log, position)) == position
        assert other.parse_position(formatted(log, position)) is None
    assert log.parse_position(formatted(log, 3)) is None


@pytest.mark.parametrize(
    "pos",
    [
        "",
        ".",
        "x",
        "{}.",
        "{}.-1",
        "{}.x",
        "{}.1.0",
        "{}. 1",
        "{}.\u0661",
        "{}." + "9" * 5000,
        ".1",
    ],
)
def test_a_position_that_does_not_fit_is_passed_over(pos):
    log = named_log("1-0", "2-0")
    assert log.parse_position(pos.replace("{}", formatted(log, 0).partition(".")[0])) is None


def test_nothing_before_positions_were_invalidated_is_replayed():
    log = named_log("1-0", "2-0")
    before = formatted(log, 2)
    log.invalidate_positions()
    assert log.parse_position(before) is None
    assert log.find_group("2-0") is None
    assert log.parse_position(formatted(log, 2)) == 2
    assert log.parse_position(formatted(log, 1)) is None


def test_a_group_is_found_by_the_name_of_exactly_one():
    log = named_log("1-0", "2-0", "", "2-0", "3-0")
    assert [log.find_group(name) for name in ("1-0", "2-0", "3-0", "4-0", "")] == [
        0,
        None,
        4,
        None,
        None,
    ]


def test_a_group_forgotten_is_not_found():
    log = named_log(*(f"{i}-0" for i in range(CHECKPOINT_EVERY + 1)))
    assert log.shrink(keep=log.head)
    assert log.find_group("0-0") is None
    assert log.find_group(f"{CHECKPOINT_EVERY}-0") == CHECKPOINT_EVERY


@pytest.mark.parametrize(
    ("frames", "found"),
    [
        ([("update", "a", 0, 0)], True),
        ([("leave", "a", 0, -1), ("enter", "x", -1, 2)], True),
        ([("enter", "x", -1, 1), ("leave", "c", 3, -1)], True),
        ([("enter", "x", -1, 0), ("enter", "y", -1, 0)], True),
        ([("move", "a", 0, 2), ("move", "b", 0, 2)], True),
        ([("enter", "x", -1, 2), ("leave", "a", 0, -1)], False),
    ],
)
def test_a_group_is_replayed_only_if_any_part_of_it_and_then_all_of_it_lead_to_one_window(
    frames, found
):
    window = Window(9, window_of("abc"))
    log = Log(window.snapshot())
    sent = Group(
        tuple(frame(Op[op.upper()], i, old, new, 2, b"1", "7-0") for op, i, old, new in frames),
        "7-0",
    )
    applied = window.apply(sent)
    assert applied.group is sent
    log.append(sent, window.snapshot)
    assert (log.find_group("7-0") == 0) == repeats(window_of("abc"), sent) == found


def repeats(rows, sent):
    whole = Window(100, rows)
    whole.reduce(sent.frames)
    for part in range(len(sent.frames) + 1):
        half = Window(100, rows)
        half.reduce([*sent.frames[:part], *sent.frames])
        if [r.agg_id for r in half.snapshot()] != [r.agg_id for r in whole.snapshot()]:
            return False
    return True


def test_a_streamed_log_keeps_no_windows_and_finds_groups_by_name():
    log = named_log("1-0", "2-0", streamed=True)
    assert log.rows_at(0) == ()
    assert log.find_group("2-0") == 1
