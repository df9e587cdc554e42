import json
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.apply_result import ApplyResult
from bridge.core.frame_encoding import RESET
from bridge.core.group import Group
from bridge.core.op import NAMES, Op
from bridge.core.streamed_set import StreamedSet
from bridge.core.window import Window
from core_makers import (
    frame,
    group,
    snapshot_group,
    thorough,
    trace_delta,
    vectors,
    wild_frames,
    window_of,
    windows,
)
from core_oracles import IdClient, SpliceClient

TRACES = {
    trace: list(steps)
    for trace, steps in groupby(vectors("engine_traces"), key=lambda step: step["trace"])
}
MAINTAINED = [trace for trace, steps in TRACES.items() if steps[0]["mode"] == 0]
STREAMED = [trace for trace, steps in TRACES.items() if steps[0]["mode"] == 1]


def ids(window):
    return "".join(r.agg_id for r in window.snapshot())


def frames_of(step):
    return [trace_delta(delta) for delta in step["deltas"]]


def ids_and_versions(mirror):
    return [f"{r.agg_id}@{r.version}" for r in mirror.snapshot()]


# ---------------------------------------------------------------- golden traces


class Playback:
    """One run of the real engine, played through the window to a client of either kind."""

    def __init__(self, trace):
        config, *self.steps = TRACES[trace]
        self.limit = config["query"]["Limit"]
        self.clients = [IdClient(), SpliceClient()]
        self.window = None

    def play(self, step):
        """Play a step; return the repairs of the guard."""
        frames = frames_of(step)
        if any(one.op == Op.RESET for one in frames):
            self.limit = step.get("limit") or self.limit
            self.window = Window(self.limit)
            self.window.reduce(tuple(frames))
            self._tell(snapshot_group(self.window.snapshot()))
            return ()
        applied = self.window.apply(
            Group(tuple(frames), step.get("change", {}).get("stream_id", ""))
        )
        if applied.group is not None:
            self._tell(applied.group)
        return applied.repairs

    def _tell(self, group):
        for client in self.clients:
            client.read(group)


@pytest.mark.parametrize("trace", MAINTAINED)
def test_both_kinds_of_client_show_the_engines_window_after_every_step(trace):
    playback = Playback(trace)
    for step in playback.steps:
        playback.play(step)
        assert ids_and_versions(playback.window) == step["engine_window"]
        for client in playback.clients:
            assert client.shown() == step["engine_window"]


@pytest.mark.parametrize("trace", MAINTAINED)
def test_repairs_are_counted_exactly_where_the_raw_deltas_mislead_a_splicing_client(trace):
    playback = Playback(trace)
    misled = False
    for step in playback.steps:
        raw = SpliceClient()
        raw.rows = list(playback.clients[1].rows)
        repairs = playback.play(step)
        if any(delta["op"] == "reset" for delta in step["deltas"]):
            misled = False
            continue
        raw.read(Group(frames_of(step)))
        assert repairs == (() if raw.shown() == step["engine_window"] else ("missing_leave",))
        assert not (repairs and step["splice_ok"])
        if not misled:
            # `splice_ok` is stricter: two steps of a trace are not, though the splice goes right.
            misled = step["client_index_splice"] != step["engine_window"]
            assert misled == bool(repairs)


def test_every_streamed_run_passes_through_unrepaired():
    for trace in STREAMED:
        members, client = StreamedSet(), IdClient()
        for step in TRACES[trace][1:]:
            sent = Group(frames_of(step))
            assert members.apply(sent) == ApplyResult(sent)
            client.read(sent)
            assert sorted(client.shown()) == sorted(ids_and_versions(members))


def test_all_traces_are_played():
    assert sorted(MAINTAINED + STREAMED) == sorted(TRACES)
    assert MAINTAINED


# ---------------------------------------------------------------- the guard

wild_groups = st.lists(st.lists(wild_frames(), min_size=1, max_size=4), max_size=6)


def versions(rows):
    return {r.agg_id: r.version for r in rows}


@thorough
@given(windows(), st.integers(1, 5), wild_groups)
def test_whatever_comes_both_kinds_of_client_show_the_mirror(rows, limit, groups):
    window = Window(limit, rows[:limit])
    clients = [IdClient(), SpliceClient()]
    for client in clients:
        client.read(snapshot_group(window.snapshot()))
    for frames in groups:
        applied = window.apply(Group(tuple(frames), "7-0"))
        for client in clients:
            if applied.group is not None:
                client.read(applied.group)
            assert client.shown() == ids_and_versions(window)
            assert [json.dumps(r.get("row")) for r in client.frames] == [
                json.dumps(json.loads(r.row) if r.row else None) for r in window.snapshot()
            ]
        assert len(set(ids(window))) == len(window) <= limit
        assert window.snapshot() is window.snapshot()


@thorough
@given(windows(), st.integers(1, 5), wild_groups)
def test_the_mirror_is_what_the_reducer_makes_of_all_that_is_not_stale(rows, limit, groups):
    window, oracle = Window(limit, rows[:limit]), IdClient()
    oracle.read(snapshot_group(window.snapshot()))
    for frames in groups:
        repairs = window.apply(Group(tuple(frames), "7-0")).repairs
        stale = 0
        for one in frames:
            held = next((version for agg_id, version in oracle.rows if agg_id == one.agg_id), None)
            versioned = one.op in (Op.ENTER, Op.MOVE, Op.UPDATE, Op.MATCH) and one.version != 0
            if versioned and held is not None and one.version < held:
                stale += 1
            else:
                oracle.read(Group([one]))
        del oracle.frames[limit:]
        assert oracle.shown() == ids_and_versions(window)
        assert repairs.count("stale_version") == stale


@thorough
@given(windows(), st.integers(1, 5), wild_groups)
def test_no_version_decreases_while_its_row_stays(rows, limit, groups):
    window = Window(limit, rows[:limit])
    for frames in groups:
        before = versions(window.snapshot())
        window.apply(Group(tuple(frames), "7-0"))
        gone = {f.agg_id for f in frames if f.op in (Op.LEAVE, Op.UNMATCH) or f.version == 0}
        if all(f.op != Op.RESET for f in frames):
            after = versions(window.snapshot())
            assert all(after[i] >= before[i] for i in before.keys() & after.keys() - gone)


@thorough
@given(windows(), st.integers(1, 5), wild_groups)
def test_a_group_without_repairs_is_the_very_group_and_a_repaired_one_keeps_its_name(
    rows, limit, groups
):
    window = Window(limit, rows[:limit])
    for frames in groups:
        given_group = Group(tuple(frames), "7-0", 12.5)
        applied = window.apply(given_group)
        if not applied.repairs:
            assert applied.group is given_group
        elif applied.group is not None:
            assert applied.group.frames
            assert (applied.group.stream_id, applied.group.at) == ("7-0", 12.5)
            assert {one.stream_id for one in applied.group.frames} == {"7-0"}


@pytest.mark.parametrize(
    ("frames", "repairs", "sent_frames", "after"),
    [
        # The table of docs/semantics.md, as the engine sends it to a window abc of limit 3.
        ([("enter", "x", -1, 1), ("leave", "c", 3, -1)], (), None, "axb"),
        ([("leave", "b", 1, -1), ("enter", "x", -1, 2)], (), None, "acx"),
        ([("update", "b", 1, 1)], (), None, "abc"),
        ([("move", "a", 0, 2)], (), None, "bca"),
        ([("move", "b", 1, 1)], (), None, "abc"),
        ([("enter", "x", -1, 0)], ("missing_leave",), ["enter x -1 0", "leave c 3 -1"], "xab"),
        ([("enter", "x", -1, 3)], ("missing_leave",), ["enter x -1 3", "leave x 3 -1"], "abc"),
        # Broken ones.
        ([("leave", "z", 0, -1)], ("splice",), [], "abc"),
        ([("leave", "a", 1, -1)], ("splice",), ["leave a 0 -1"], "bc"),
        ([("update", "z", 0, 0)], ("splice",), [], "abc"),
        ([("update", "a", 1, 1)], ("splice",), ["update a 0 0"], "abc"),
        ([("update", "a", 0, 1)], ("splice",), ["update a 0 0"], "abc"),
        ([("enter", "b", -1, 0)], ("splice",), ["move b 1 0"], "bac"),
        ([("enter", "x", -1, 9)], ("splice",), [], "abc"),
        ([("enter", "x", -1, -1)], ("splice",), ["leave c 2 -1", "enter x -1 0"], "xab"),
        ([("move", "x", 0, 2)], ("splice",), ["leave c 2 -1", "enter x -1 2"], "abx"),
        ([("move", "c", 0, 1)], ("splice",), ["move c 2 1"], "acb"),
        ([("move", "c", 2, 3)], ("splice",), ["update c 2 2"], "abc"),
        ([("match", "x", 0, 0)], ("splice",), [], "abc"),
        ([("unmatch", "b", 0, 0)], ("splice",), ["leave b 1 -1"], "ac"),
        ([("leave", "a", 0, -1), ("leave", "a", 0, -1)], ("splice",), ["leave a 0 -1"], "bc"),
        ([("enter", "x", -1, 0), ("leave", "x", 1, -1)], ("splice",), [], "abc"),
    ],
)
def test_a_group_is_passed_repaired_or_dropped(frames, repairs, sent_frames, after):
    window = Window(3, window_of("abc"))
    sent = group(*(frame(Op[op.upper()], agg_id, old, new, 2) for op, agg_id, old, new in frames))
    applied = window.apply(sent)
    assert (applied.repairs, ids(window)) == (repairs, after)
    if sent_frames is None:
        assert applied.group is sent
    else:
        shown_frames = applied.group.frames if applied.group else ()
        assert [
            f"{NAMES[f.op]} {f.agg_id} {f.old_index} {f.new_index}" for f in shown_frames
        ] == sent_frames


def test_ops_the_schema_does_not_list_pass_through_and_change_nothing():
    window, sent = Window(3, window_of("ab")), group(frame(9, "a", 5, 5), frame(0, "b"))
    assert window.apply(sent) == ApplyResult(sent)
    assert ids(window) == "ab"


@pytest.mark.parametrize("op", [Op.ENTER, Op.MOVE, Op.UPDATE, Op.MATCH])
@pytest.mark.parametrize(
    ("version", "kept"), [(4, False), (5, True), (6, True), (0, True), (-1, False)]
)
def test_a_version_below_the_mirrors_is_dropped_and_counted(op, version, kept):
    window = Window(3, window_of("ab", version=5))
    applied = window.apply(group(frame(op, "a", 0, 0, version)))
    assert ("stale_version" in applied.repairs) != kept
    assert versions(window.snapshot())["a"] == (version if kept else 5)
    assert kept or applied.group is None


def test_a_leave_is_never_stale():
    window = Window(3, window_of("ab", version=5))
    assert window.apply(group(frame(Op.LEAVE, "a", 0, -1, 1))).repairs == ()
    assert ids(window) == "b"


def test_the_rest_of_a_group_with_a_stale_frame_is_checked_on_its_own():
    window = Window(3, window_of("abc", version=5))
    applied = window.apply(group(frame(Op.UPDATE, "a", 0, 0, 1), frame(Op.LEAVE, "c", 2, -1)))
    assert applied.repairs == ("stale_version",)
    assert [NAMES[f.op] for f in applied.group.frames] == ["leave"]


def test_a_reset_forgets_versions():
    window = Window(3, window_of("a", version=5))
    applied = window.apply(group(RESET, frame(Op.ENTER, "a", -1, 0, 1)))
    assert (applied.repairs, ids_and_versions(window)) == ((), ["a@1"])


def test_reduce_cuts_to_the_limit():
    window = Window(2)
    window.reduce([RESET, *(frame(Op.ENTER, i, -1, at) for at, i in enumerate("abcd"))])
    assert (ids(window), len(window)) == ("ab", 2)
    window.reduce([frame(Op.ENTER, "d", -1, 0)])
    assert ids(window) == "da"
