import asyncio
import gc
import tracemalloc
from itertools import groupby

import pytest
from live_traces import TRACES, trace_batch

from bridge.core.errors import Failed, Kind
from bridge.core.frame_encoding import encode
from bridge.core.op import Op
from bridge.live.resume import Resume
from bridge.live.stream_end import EndReason
from fake_client import SOMEBODY, FakeDirectSend, resume
from fake_tier import query
from live_bridge import LiveBridge
from virtual_loop import turns, virtually


def make_bridge(**settings):
    made = LiveBridge(**settings)
    for at, agg_id in enumerate("abcde"):
        made.tier.put(agg_id, at)
    return made


def ops(client):
    return [frame["op"] for frame in client.frames]


# ---------------------------------------------------------------- joining


@pytest.mark.parametrize("trace", list(TRACES))
def test_whoever_joins_a_recorded_engine_at_any_step_sees_its_window(trace):
    @virtually
    async def play():
        config, *steps = TRACES[trace]
        wanted = config["query"]
        streamed = bool(config["mode"])
        async with make_bridge() as bridge:
            bridge.tier.mute = True
            q = query(wanted["Limit"], mode=config["mode"])
            clients = [bridge.client(v1=False), bridge.client(v1=True)]
            await asyncio.gather(*(c.join(q) for c in clients))
            for step in steps:
                if step.get("limit", wanted["Limit"]) != wanted["Limit"]:
                    break  # a Reanchor that nobody here asked for
                if step["deltas"]:
                    bridge.tier.sub.raw(trace_batch(step["deltas"]))
                await turns()
                clients += [await bridge.joined(q, v1=v1) for v1 in (False, True)]
                if streamed or "engine_window" not in step or step.get("limit"):
                    continue
                for client in clients:
                    client.check_rows()
                    assert [f"{i}@{v}" for i, v in client.rows] == step["engine_window"], step
            assert len({tuple(sorted(c.rows)) for c in clients}) == 1

    play()


@virtually
async def test_fan_out_of_a_group_is_one_synchronous_step_and_encodes_each_form_once():
    sent = []
    async with make_bridge() as bridge:
        clients = [await bridge.joined(query(), v1=n % 2 == 0) for n in range(200)]
        marks = []
        loop = asyncio.get_running_loop()
        for client in clients:
            client.checks.append(lambda _: marks.append("written"))
            client.sink.send = lambda data, send=client.sink.send: sent.append(data) or send(data)

        def tick():
            marks.append("tick")
            if marks.count("written") < 200 and len(marks) < 2000:
                loop.call_soon(tick)

        bridge.tier.put("a", 0)
        loop.call_soon(tick)
        await turns()
        assert [(mark, len(list(run))) for mark, run in groupby(marks) if mark == "written"] == [
            ("written", 200)
        ]
        assert len(sent) == 200
        assert len({id(data) for data in sent}) == 2, "the bytes of core, and those of v1"


@virtually
async def test_groups_of_one_tick_are_one_write():
    async with make_bridge() as bridge:
        client = await bridge.joined(query())
        writes = []
        client.checks.append(lambda c: writes.append(len(c.frames)))
        before = len(client.frames)
        for n in range(10):
            bridge.tier.put("a", -1 - n % 2)
        await turns()
        assert writes == [before + 10]


# ---------------------------------------------------------------- lagging


@virtually
async def test_a_stalled_viewer_lands_on_the_exact_window_in_few_frames_and_little_memory():
    async with make_bridge(stall=0) as bridge:
        limit = 50
        for n in range(limit):
            bridge.tier.put(f"r{n:03}", n)
        quick = await bridge.joined(query(limit))
        slow = await bridge.joined(query(limit), v1=True)
        quick_seen = len(quick.frames)
        slow.sink.taking = False
        sizes = []
        tracemalloc.start()
        for n in range(8_000):
            bridge.tier.put(f"r{n * 7 % 60:03}", n * 31 % 90)
            if n % 50 == 49:
                await asyncio.sleep(0.01)
            if n in (1_999, 7_999):
                quick.frames.clear()
                gc.collect()
                sizes.append(tracemalloc.get_traced_memory()[0])
                assert quick.rows == bridge.tier.window(quick.query)
        tracemalloc.stop()
        assert quick_seen
        growth = sizes[1] - sizes[0]
        print(f"memory grew by {growth} bytes over 6,000 deltas; unsent {slow.sink.most}")
        assert growth < 800_000
        assert bridge.counts.conflations == 1
        assert slow.sink.most < 32 * 1024 + 50 * 300
        assert len(slow.viewer._catch_up.rows) <= limit
        slow.frames.clear()
        slow.sink.take()
        backlog = len(slow.frames)
        await asyncio.sleep(0.1)
        assert len(slow.frames) - backlog <= 3 * limit
        slow.check_rows()
        assert slow.rows == bridge.tier.window(slow.query) == quick.rows


@virtually
async def test_within_its_bound_a_slow_viewer_gets_every_frame_in_order():
    async with make_bridge() as bridge:
        quick, slow = await bridge.joined(query()), await bridge.joined(query())
        slow.sink.taking = False
        for n in range(300):
            bridge.tier.put("a", -1 - n % 2)
        await turns()
        slow.sink.take()
        await asyncio.sleep(0.1)
        assert slow.frames == quick.frames
        assert bridge.counts.conflations == 0


@virtually
async def test_a_client_that_reads_nothing_is_cut_when_the_limit_is_up_and_the_others_are_not():
    async with make_bridge(stall=5.0) as bridge:
        dead, alive = await bridge.joined(query()), await bridge.joined(query())
        dead.sink.taking = False
        bridge.tier.put("a", -1)
        began = asyncio.get_running_loop().time()
        end = await dead.viewer.ended
        assert end.reason is EndReason.STALLED
        assert end.failure.row.close_code == 4000
        assert 5.0 <= asyncio.get_running_loop().time() - began < 5.2
        assert alive.end is None
        dead.leave()
        assert bridge.counts.reasons == [EndReason.STALLED]


@virtually
async def test_a_client_that_keeps_reading_a_little_is_never_cut():
    async with make_bridge(stall=5.0) as bridge:
        slow = await bridge.joined(query())
        slow.sink.taking = False
        for n in range(100):
            bridge.tier.put("a", -1 - n % 2)
        for _ in range(10):
            await asyncio.sleep(4)
            slow.sink.take(1)
        assert slow.end is None


@virtually
async def test_writes_past_the_send_buffer_do_not_keep_a_stalled_client():
    async with make_bridge(stall=5.0) as bridge:
        dead = await bridge.joined(query())
        dead.sink.taking = False
        bridge.tier.put("a", -1)
        await turns()
        for _ in range(4):
            await asyncio.sleep(2)
            dead.sink.write(b"\x8a\x00")  # pongs, past the send buffer
        assert dead.stalled


@pytest.mark.parametrize("how", ["under a write", "in lockstep", "in the rest of a write"])
@virtually
async def test_a_connection_that_fails_affects_its_own_client_only(how):
    async with make_bridge() as bridge:
        others = [await bridge.joined(query())]
        broken = await bridge.joined(query())
        others.append(await bridge.joined(query()))

        def write(data):
            raise RuntimeError("cannot write after eof")

        bridge.tier.put("a", -1)
        await turns()
        assert broken.viewer.lockstep is not None
        send = {
            "under a write": None,
            "in lockstep": write,
            "in the rest of a write": lambda data: len(data) // 2,
        }[how]
        broken.send_buffer._write = write
        if how == "under a write":
            broken.viewer.stop_direct_send()
            broken.viewer.can_join_lockstep = False
        else:
            FakeDirectSend(send).lay(broken.viewer)
        bridge.tier.drop("a")
        await turns()
        assert [c.ids for c in others] == ["bcd", "bcd"]
        assert broken.end.failure.kind is Kind.BROKEN
        assert len(bridge.tier.asked) == 1


@virtually
async def test_what_happens_to_one_client_does_not_change_what_another_is_sent():
    async def frames_beside(trouble):
        async with make_bridge(stall=0) as bridge:
            watchers = [await bridge.joined(query(), v1=v1) for v1 in (False, True)]
            other = await bridge.joined(query(), v1=True)
            for n in range(400):
                bridge.tier.put("abcdefg"[n % 7], n * 5 % 11)
                if n % 40 == 20:
                    trouble(bridge, other, n)
                if n == 200:
                    bridge.tier.subs[0].break_off(Failed(Kind.UNAVAILABLE, "lost"))
                await asyncio.sleep(0.3 if n == 200 else 0.01)
            if not other.sink.taking:
                other.sink.take()
            await asyncio.sleep(1)
            return [(c.frames, [n["type"] for n in c.notices]) for c in watchers]

    def stall(bridge, other, n):
        other.sink.taking = False

    def leave(bridge, other, n):
        other.leave()

    def reanchor(bridge, other, n):
        task = asyncio.ensure_future(other.reanchor(query(2 + n % 3, cursor=(n % 5, "b"))))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    tasks = set()
    alone = await frames_beside(lambda *_: None)
    for trouble in (stall, leave, reanchor):
        assert await frames_beside(trouble) == alone
    await asyncio.gather(*tasks)


# ---------------------------------------------------------------- failover


@virtually
async def test_a_failover_is_told_as_the_fewest_frames_and_no_reset():
    async with make_bridge() as bridge:
        core, v1 = await bridge.joined(query()), await bridge.joined(query(), v1=True)
        seen = len(core.frames)
        bridge.tier.down = Failed(Kind.UNAVAILABLE, "down")
        bridge.tier.sub.break_off(Failed(Kind.UNAVAILABLE, "killed"))
        await turns()
        bridge.tier.drop("b")
        bridge.tier.put("c", 2)
        late = bridge.client(v1=True)
        await late.join(query())
        assert late.ids == "abc"
        assert [n["type"] for n in late.notices] == ["ready", "stale"]
        await asyncio.sleep(3)
        bridge.tier.down = None
        await asyncio.sleep(10)
        for client in (core, v1, late):
            client.check_rows()
            assert client.rows == bridge.tier.window(query())
        told = [(f["op"], f["agg_id"]) for f in core.frames[seen:]]
        assert told == [("leave", "b"), ("enter", "d"), ("update", "c")]
        assert v1.frames == core.frames
        assert v1.notices[0]["type"] == "ready"
        assert v1.notices[-1]["type"] == "live"


@virtually
async def test_a_failover_that_changed_nothing_says_nothing():
    async with make_bridge() as bridge:
        core = await bridge.joined(query())
        seen = len(core.frames)
        bridge.tier.sub.break_off(Failed(Kind.BROKEN, "reset"))
        await asyncio.sleep(1)
        assert len(bridge.tier.asked) == 2
        assert len(core.frames) == seen


# ---------------------------------------------------------------- resume


@virtually
async def test_a_position_is_replayed_from_exactly_there():
    async with make_bridge() as bridge:
        first = await bridge.joined(query(), v1=True)
        bridge.tier.put("a", 0)
        await turns()
        first.leave()
        bridge.tier.drop("a")
        bridge.tier.put("b", 1)
        await turns()
        again = await bridge.joined(query(), v1=True, resume=resume(first), rows=first.rows)
        assert ops(again) == ["leave", "enter", "update"]
        assert again.ready["resumed"] == "replay"
        assert again.rows == bridge.tier.window(query())
        again.check_rows()


@virtually
async def test_a_position_from_before_a_failover_is_not_replayed_and_the_known_window_is():
    async with make_bridge() as bridge:
        first = await bridge.joined(query(), v1=True)
        bridge.tier.sub.break_off(Failed(Kind.UNAVAILABLE, "lost"))
        await asyncio.sleep(1)
        bridge.tier.drop("a")
        await turns()
        stale = Resume(pos=first.notices and "0.0")
        snapshot = await bridge.joined(query(), v1=True, resume=stale)
        assert snapshot.ready["resumed"] == "snapshot"
        old = await bridge.joined(
            query(),
            v1=True,
            resume=Resume(pos="x.1", known=resume(first, known=True).known),
            rows=first.rows,
        )
        assert old.ready["resumed"] == "diff"
        for client in (snapshot, old):
            client.check_rows()
            assert client.rows == bridge.tier.window(query())


@virtually
async def test_a_position_from_before_a_failover_is_forgotten():
    async with make_bridge() as bridge:
        first = await bridge.joined(query(), v1=True)
        told = resume(first)
        bridge.tier.sub.break_off(Failed(Kind.UNAVAILABLE, "lost"))
        await asyncio.sleep(1)
        again = await bridge.joined(query(), v1=True, resume=told, rows=first.rows)
        assert again.ready["resumed"] == "snapshot"


@pytest.mark.parametrize("again", [False, True])
@virtually
async def test_a_stream_id_is_not_replayed_across_a_failover(again):
    async with make_bridge() as bridge:
        first = await bridge.joined(query())
        bridge.tier.drop("a")
        await turns()
        name = first.frames[-1]["stream_id"]
        last = bridge.tier.sub.last
        bridge.tier.sub.break_off(Failed(Kind.UNAVAILABLE, "lost"))
        bridge.tier.drop("b")
        await asyncio.sleep(1)
        if again:  # the tier's next replica says the same change once more
            bridge.tier.sub.raw(last.__class__(last.deltas))
            await turns()
        late = await bridge.joined(query(), resume=Resume(stream_id=name))
        assert ops(late)[0] == "reset"


@virtually
async def test_history_is_not_kept_for_a_viewer_whose_stream_is_over():
    async with make_bridge() as bridge:
        over, alive = await bridge.joined(query()), await bridge.joined(query())
        over._cut()
        for n in range(3000):
            bridge.tier.put("a", -1 - n % 2)
            if n % 100 == 0:
                await turns(2)
        await turns()
        assert len(bridge.subscription.window.log._groups) < 1200
        assert alive.rows == bridge.tier.window(query())
        over.leave()


@virtually
async def test_a_position_is_not_replayed_across_a_reanchor_in_place():
    async with make_bridge() as bridge:
        first = await bridge.joined(query(), v1=True)
        told = resume(first)
        await first.reanchor(query(cursor=(1, "b")))
        again = await bridge.joined(first.query, v1=True, resume=told)
        assert len(bridge.tier.asked) == 1
        assert again.ready["resumed"] == "snapshot"
        assert again.ids == "cde"


@virtually
async def test_a_stream_id_is_replayed_from_its_group_on_after_any_part_of_it():
    async with make_bridge() as bridge:
        whole = await bridge.joined(query())
        seen = len(whole.frames)
        bridge.tier.drop("a")
        bridge.tier.put("c", 2)
        await turns()
        group = whole.frames[seen : seen + 2]
        name = group[0]["stream_id"]
        for part in (1, 2):
            rows = [("a", 1), ("b", 1), ("c", 1)]
            again = bridge.client(resume=Resume(stream_id=name), rows=rows)
            for frame in group[:part]:
                again.by_id.apply(frame)
            again.splices = False
            await again.join(query())
            assert ops(again) == ["leave", "enter", "update"]
            assert again.rows == bridge.tier.window(query())


@virtually
async def test_a_stream_id_of_two_groups_or_of_none_begins_anew():
    async with make_bridge() as bridge:
        first = await bridge.joined(query())
        seen = len(first.frames)
        bridge.tier.put("a", 0)
        await turns()
        bridge.tier.sub.raw(bridge.tier.sub.last.__class__(bridge.tier.sub.last.deltas))
        await turns()
        twice = first.frames[seen]["stream_id"]
        for name in (twice, "1-1", ""):
            again = await bridge.joined(query(), resume=Resume(stream_id=name))
            assert ops(again) == ["reset", "enter", "enter", "enter"]


@virtually
async def test_an_sse_client_holds_no_id_once_a_failover_was_told():
    async with make_bridge() as bridge:
        client = await bridge.joined(query(), sse=True)
        bridge.tier.put("a", 0)
        await turns()
        assert client.pos
        bridge.tier.down = Failed(Kind.UNAVAILABLE, "down")
        bridge.tier.sub.break_off(Failed(Kind.UNAVAILABLE, "lost"))
        bridge.tier.drop("b")
        bridge.tier.down = None
        await asyncio.sleep(1)
        assert client.pos == ""
        client.check_rows()
        assert client.rows == bridge.tier.window(query())


# ---------------------------------------------------------------- streamed


PAGE = query(3, mode=1)


def streamed(bridge, op, agg_id, version=9):
    row = b"" if op == "UNMATCH" else b'{"v":%d}' % version
    shown = 0 if op == "UNMATCH" else version
    return encode(Op[op], agg_id, shown, row, stream_id=f"{version}-{agg_id}")


@virtually
async def test_streamed_changes_pass_through_and_newcomers_get_the_known_set():
    async with make_bridge() as bridge:
        first = await bridge.joined(PAGE, v1=True)
        for said in [("MATCH", "x"), ("UNMATCH", "a"), ("UPDATE", "unknown"), ("UPDATE", "b")]:
            bridge.tier.sub.send([streamed(bridge, *said)])
        await turns()
        assert ops(first)[4:] == ["match", "unmatch", "update", "update"]
        late = await bridge.joined(PAGE)
        assert len(bridge.tier.asked) == 1
        assert sorted(late.rows) == sorted(first.rows) == [("b", 9), ("c", 1), ("x", 9)]
        assert late.end is first.end is None
        assert "digest" not in first.ready


@virtually
async def test_a_streamed_page_is_numbered_and_its_changes_are_not():
    async with make_bridge() as bridge:
        first = await bridge.joined(PAGE)
        bridge.tier.sub.send([streamed(bridge, "MATCH", "x"), streamed(bridge, "UPDATE", "b")])
        await turns()
        late = await bridge.joined(PAGE)
        reset, *page = [(f["op"], f["old_index"], f["new_index"]) for f in first.frames]
        assert reset == ("reset", 0, 0)
        numbered = [("enter", -1, at) for at in range(4)]
        assert page == [*numbered[:3], ("match", 0, 0), ("update", 0, 0)]
        assert [(f["op"], f["old_index"], f["new_index"]) for f in late.frames[1:]] == numbered


@virtually
async def test_a_loss_right_behind_a_change_is_told_right_behind_it():
    async with make_bridge() as bridge:
        client = await bridge.joined(query(), v1=True)
        gone = Failed(Kind.UNAVAILABLE, "gone")
        bridge.tier.down = gone
        bridge.tier.drop("a")
        bridge.tier.sub.break_off(gone)
        await turns()
        assert client.ids == "bcd"
        assert [n["type"] for n in client.notices] == ["ready", "stale"]
        bridge.tier.down = None
        await asyncio.sleep(12)


@virtually
async def test_a_viewer_that_switches_windows_is_sent_the_snapshot_before_any_change():
    async with make_bridge() as bridge:
        client = await bridge.joined(query())
        seen = len(client.frames)
        client.viewer.switch_window(bridge.subscription.window.log)
        bridge.tier.drop("a")
        await turns()
        assert [f["op"] for f in client.frames[seen:]] == ["reset", "enter", "enter", "enter"]
        assert client.ids == "bcd"


@pytest.mark.parametrize("back_after", [0.0, 5.0])
@virtually
async def test_a_loss_that_the_tier_announced_is_told_only_if_it_lasts(back_after):
    async with make_bridge() as bridge:
        client = await bridge.joined(query(), v1=True)
        gone = Failed(Kind.UNAVAILABLE, "gone")
        bridge.tier.sub.leaving = True
        bridge.tier.down = gone if back_after else None
        bridge.tier.sub.break_off(gone)
        await asyncio.sleep(back_after)
        bridge.tier.down = None
        await asyncio.sleep(12)
        told = [n["type"] for n in client.notices]
        assert told == (["ready", "stale", "live"] if back_after else ["ready"])
        client.check_rows()
        assert len(bridge.tier.asked) > 1


@virtually
async def test_a_slow_streamed_client_gets_the_last_frame_of_each_id_and_then_is_exact(monkeypatch):
    monkeypatch.setattr("bridge.live.viewer.MAX_FRAMES", 50)
    monkeypatch.setattr("bridge.live.send_buffer.MAX_UNSENT", 500)
    async with make_bridge(stall=0) as bridge:
        quick, slow = await bridge.joined(PAGE), await bridge.joined(PAGE)
        slow.sink.taking = False
        for n in range(500):
            agg_id = f"m{n % 20}"
            bridge.tier.sub.send(
                [streamed(bridge, "MATCH" if n % 3 else "UNMATCH", agg_id, n + 10)]
            )
            if n % 10 == 0:
                await asyncio.sleep(0.01)
        before = len(slow.frames)
        slow.sink.take()
        await asyncio.sleep(0.1)
        assert len(slow.frames) - before < 80
        assert sorted(slow.rows) == sorted(quick.rows)
        assert bridge.counts.conflations == 1


@virtually
async def test_a_streamed_client_over_its_bound_even_merged_is_cut(monkeypatch):
    monkeypatch.setattr("bridge.live.send_buffer.MAX_UNSENT", 500)
    async with make_bridge(stall=0) as bridge:
        slow = await bridge.joined(PAGE, backlog=3000)
        quick = await bridge.joined(PAGE, backlog=3000)
        slow.sink.taking = False
        for n in range(200):
            bridge.tier.sub.send([streamed(bridge, "MATCH", f"m{n}")])
            await turns(3)
        assert slow.end.reason is EndReason.STALLED
        assert quick.end is None


@virtually
async def test_a_failover_in_streamed_mode_is_a_reset_and_a_page_even_to_a_slow_client(monkeypatch):
    monkeypatch.setattr("bridge.live.viewer.MAX_FRAMES", 5)
    monkeypatch.setattr("bridge.live.send_buffer.MAX_UNSENT", 500)
    async with make_bridge(stall=0) as bridge:
        quick, slow = await bridge.joined(PAGE), await bridge.joined(PAGE)
        slow.sink.taking = False
        for n in range(30):
            bridge.tier.sub.send([streamed(bridge, "MATCH", f"m{n}")])
            await turns(3)
        bridge.tier.sub.break_off(Failed(Kind.UNAVAILABLE, "lost"))
        bridge.tier.drop("a")
        await asyncio.sleep(1)
        seen = len(slow.frames)
        slow.sink.take()
        await asyncio.sleep(0.1)
        assert ops(quick)[-4:] == ["reset", "enter", "enter", "enter"]
        assert slow.viewer._catch_up is None
        assert ops(slow)[-4:] == ["reset", "enter", "enter", "enter"]
        assert len(slow.frames) - seen < 25
        assert sorted(slow.rows) == sorted(quick.rows) == sorted(bridge.tier.window(PAGE))


@virtually
async def test_beyond_the_cap_those_inside_stay_and_newcomers_get_their_own(monkeypatch):
    async with make_bridge() as bridge:
        inside = await bridge.joined(PAGE)
        window = inside.viewer.window
        window._mirror._max_members = 10
        waiting = bridge.client()
        await bridge.hub.start_subscribe(waiting.viewer, PAGE, SOMEBODY)
        for n in range(20):
            bridge.tier.sub.send([streamed(bridge, "MATCH", f"m{n}")])
        await turns()
        assert not window.shareable
        late = await bridge.joined(PAGE)
        assert len(bridge.tier.asked) == 2
        assert sorted(late.ids) == ["a", "b", "c"]
        assert len(inside.rows) == 23
        # Who had joined, but was not yet shown the set, can't be any more: an honest end.
        waiting.query = PAGE
        bridge.hub.attach(waiting.viewer)
        assert waiting.frames == []
        assert waiting.end.failure.kind is Kind.UNAVAILABLE
        waiting.leave()


@virtually
async def test_a_viewer_is_up_to_date_only_once_it_was_shown_a_window():
    async with make_bridge() as bridge:
        bridge.tier.mute = True
        client = await bridge.client(v1=True).join(query())
        await turns()
        assert client.viewer.attached
        assert not client.viewer.up_to_date, "a v1 beat would carry the digest of no window"
        bridge.tier.mute = False
        await asyncio.sleep(11)  # the snapshot is overdue: another call brings it
        assert client.frames
        assert client.viewer.up_to_date
