"""Viewers in lockstep: one broadcast writes to all of them; which of them leave, and when."""

import asyncio

import pytest

from bridge.core.errors import Failed, Kind
from bridge.live.stream_end import EndReason
from bridge.live.viewer import Viewer
from bridge.wire.encoders import V1WsEncoder
from fake_client import SOMEBODY, FakeDirectSend
from fake_tier import query
from live_bridge import LiveBridge
from virtual_loop import turns, virtually

KINDS = {"ws": {}, "sse": {"sse": True}, "v1": {"v1": True}}


def make_bridge(**settings):
    made = LiveBridge(**settings)
    for at, agg_id in enumerate("abcde"):
        made.tier.put(agg_id, at)
    return made


async def in_lockstep(bridge, **how):
    """Join a client, and make it join a lockstep: the first group may need another encoding."""
    client = await bridge.joined(query(), **how)
    for at in (-1, 0):
        bridge.tier.put("a", at)
        await turns()
    assert client.viewer.lockstep is not None
    return client


@pytest.mark.parametrize("kind", list(KINDS))
@virtually
async def test_a_viewer_in_lockstep_has_the_counters_of_one_that_flushed_alone(kind):
    async with make_bridge() as bridge:
        client = await in_lockstep(bridge, **KINDS[kind])
        viewer, log = client.viewer, client.viewer.window.log
        for n in range(5):
            await asyncio.sleep(1)
            bridge.tier.put("a", -2 - n)
            await turns()
            assert viewer.position == viewer.oldest_needed == log.head
            assert viewer.frames_written == len(client.frames)
            assert viewer.written_at == asyncio.get_running_loop().time()
        position, told, written_at = viewer.position, viewer.frames_written, viewer.written_at
        viewer.lockstep.leave(viewer)
        assert viewer.lockstep is None
        assert (viewer.position, viewer.frames_written, viewer.written_at) == (
            position,
            told,
            written_at,
        )


@virtually
async def test_a_viewer_that_joins_a_lockstep_later_keeps_its_own_frame_count():
    async with make_bridge() as bridge:
        first = await in_lockstep(bridge)
        bridge.tier.put("b", -2)
        await turns()
        second = await in_lockstep(bridge)
        assert first.viewer.lockstep is second.viewer.lockstep
        for client in (first, second):
            assert client.viewer.frames_written == len(client.frames)
            client.leave()
            assert client.viewer.frames_written == len(client.frames)
        assert first.viewer.frames_written > second.viewer.frames_written


@pytest.mark.parametrize("kind", list(KINDS))
@virtually
async def test_a_socket_that_takes_a_part_of_a_broadcast_gets_the_rest_in_order(kind):
    async with make_bridge(stall=0) as bridge:
        client = await in_lockstep(bridge, **KINDS[kind])
        viewer, sink = client.viewer, client.sink

        def half(data):
            sink.write(data[: len(data) // 2])
            sink.taking = False
            return len(data) // 2

        FakeDirectSend(half).lay(viewer)
        seen, told, counted = len(client.frames), viewer.frames_written, bridge.counts.frames
        bridge.tier.put("a", -2)
        await turns()
        assert sink.pending
        assert bridge.counts.frames - counted == viewer.frames_written - told > 0
        assert viewer.lockstep is None, "its socket is not empty"
        assert viewer.up_to_date, "it has been told all there is"
        bridge.tier.put("a", -3)
        await turns()
        assert len(client.frames) == seen
        sink.take()
        await asyncio.sleep(0.1)
        assert len(client.frames) == seen + 2
        client.check_rows()
        assert client.rows == bridge.tier.window(client.query)


def past(client):
    """Return the list of what a client is sent by direct send from here on."""
    sent = []

    def send(data):
        sent.append(data)
        return client.sink.send(data)

    FakeDirectSend(send).lay(client.viewer)
    return sent


@pytest.mark.parametrize("kind", list(KINDS))
@virtually
async def test_there_is_no_direct_send_while_the_send_buffer_holds_bytes(kind):
    async with make_bridge(stall=0) as bridge:
        client = await in_lockstep(bridge, **KINDS[kind])
        sent, seen, send_buffer = past(client), len(client.frames), client.send_buffer
        write, unsent = send_buffer._write, send_buffer.unsent
        send_buffer._write, send_buffer.unsent = (
            (lambda _: None),
            (lambda: 7),
        )  # until the end of a tick, say
        send_buffer.write(b"a ping")
        send_buffer._write = write
        bridge.tier.put("a", -3)
        await turns()
        assert not sent
        send_buffer.unsent = unsent
        bridge.tier.put("a", -4)
        await turns()
        assert len(sent) == 1, "in lockstep again as soon as its socket is empty"
        assert len(client.frames) == seen + 2
        assert client.rows == bridge.tier.window(query())


@virtually
async def test_there_is_no_direct_send_once_the_connection_is_lost():
    async with make_bridge(stall=0) as bridge:
        gone, other = await in_lockstep(bridge), await in_lockstep(bridge)
        sent = past(gone)
        gone.send_buffer.on_connection_lost()
        for at in (-3, -4):
            bridge.tier.put("a", at)
            await turns()
        assert not sent
        assert other.rows == bridge.tier.window(query())


@pytest.mark.parametrize("long", [False, True], ids=["two locksteps", "one lockstep"])
@virtually
async def test_of_several_viewers_on_one_socket_none_sends_before_the_rest_of_another(long):
    names = ["a name that was drawn", "another one that was drawn"] if long else ["s", "s2"]
    async with make_bridge(stall=0) as bridge:
        client = await in_lockstep(bridge, v1=True)
        written = []
        client.sink._read = written.append
        bridge.hub.unsubscribe(client.viewer, EndReason.CLIENT_GONE)
        viewers = [
            Viewer(send_buffer=client.send_buffer, encoder=V1WsEncoder(name), backlog=1 << 20)
            for name in names
        ]
        for viewer in viewers:
            await bridge.hub.start_subscribe(viewer, query(), SOMEBODY)
            bridge.hub.attach(viewer)
        for at in (-1, 0):
            bridge.tier.put("a", at)
            await turns()
        first, second = viewers
        assert None not in (first.lockstep, second.lockstep)
        assert (first.lockstep is second.lockstep) is long
        written.clear()

        def half(data):
            written.append(data[: len(data) // 2])
            return len(data) // 2

        first.lockstep.members[first] = FakeDirectSend(half)
        second.lockstep.members[second] = client.sink
        first.lockstep._direct_sends = second.lockstep._direct_sends = None
        bridge.tier.put("a", -3)
        await turns()
        for viewer in viewers:
            bridge.hub.unsubscribe(viewer, EndReason.CLIENT_GONE)
        told = b"".join(written)
        assert [told.count(b'"sub":"%b"' % name.encode()) for name in names] == [1, 1]
        half_of_it, rest, _ = written
        assert len(half_of_it + rest) == 4 + int.from_bytes(half_of_it[2:4]), "in one piece"


@virtually
async def test_history_is_not_kept_for_viewers_in_lockstep(monkeypatch):
    monkeypatch.setattr("bridge.core.log.MAX_GROUPS", 100)
    async with make_bridge() as bridge:
        client = await in_lockstep(bridge)
        for n in range(500):
            bridge.tier.put("a", -2 - n % 2)
            await turns(3)
        assert client.viewer.window.log.head - client.viewer.window.log.tail < 200


@virtually
async def test_viewers_in_lockstep_are_told_of_a_loss_and_join_a_lockstep_again():
    async with make_bridge() as bridge:
        named, plain = await in_lockstep(bridge, v1=True), await in_lockstep(bridge)
        bridge.tier.sub.break_off(Failed(Kind.UNAVAILABLE, "lost"))
        await turns()
        assert named.notices[-1]["type"] == "stale"
        assert named.viewer.lockstep is plain.viewer.lockstep is None
        bridge.tier.put("c", -5)
        await asyncio.sleep(2)
        assert named.notices[-1]["type"] == "live"
        bridge.tier.put("a", -7)
        await turns()
        assert named.viewer.lockstep is not None
        assert plain.viewer.lockstep is not None
        assert named.rows == plain.rows == bridge.tier.window(query())


@virtually
async def test_a_viewer_that_has_ended_is_written_nothing_more():
    async with make_bridge() as bridge:
        client, other = await in_lockstep(bridge), await in_lockstep(bridge)
        seen = len(client.frames)
        client._cut()
        bridge.tier.put("a", -9)
        await turns()
        assert len(client.frames) == seen
        assert other.rows == bridge.tier.window(query())


@virtually
async def test_a_client_in_lockstep_holds_the_id_of_the_last_group_or_none_if_that_had_none():
    async with make_bridge() as bridge:
        client = await in_lockstep(bridge, sse=True)
        stepped = []
        for n, named in enumerate([True, True, False, False, True, False, False, True, True]):
            bridge.tier.named = named
            bridge.tier.put("a", -20 - n)
            await turns()
            assert bool(client.pos) is named
            stepped.append(client.viewer.lockstep is not None)
        # It leaves only where its client must be told of another kind of id.
        assert stepped == [True, True, False, True, False, False, True, False, True]
        assert client.rows == bridge.tier.window(query())


@virtually
async def test_groups_with_and_without_an_id_in_one_flush_are_written_once():
    async with make_bridge() as bridge:
        client = await in_lockstep(bridge, sse=True)
        for named in (False, True):
            bridge.tier.named = named
            bridge.tier.put("a", -8 - named)
        await turns()
        assert client.viewer.position == client.viewer.window.log.head
        seen = len(client.frames)
        bridge.tier.put("a", -20)
        await turns()
        assert client.viewer.lockstep is not None
        assert len(client.frames) == seen + 1
        assert client.rows == bridge.tier.window(query())


@virtually
async def test_a_viewer_that_waits_for_room_with_a_diff_due_is_skipped_by_flushes(monkeypatch):
    monkeypatch.setattr("bridge.live.viewer.MAX_FRAMES", 5)
    monkeypatch.setattr("bridge.live.send_buffer.MAX_UNSENT", 100)
    async with make_bridge(stall=0) as bridge:
        slow = await in_lockstep(bridge)
        slow.sink.taking = False
        for n in range(20):
            bridge.tier.put("a", -2 - n)
            await turns()
        assert slow.viewer.waits_for_room
        looks = []
        monkeypatch.setattr(type(slow.viewer), "_bound_backlog", lambda *_: looks.append(1))
        bridge.tier.put("a", -50)
        await turns()
        assert not looks
        slow.sink.take()
        await asyncio.sleep(0.1)
        assert slow.rows == bridge.tier.window(query())
