"""Viewers in step: what one write costs them all, and who falls out, when, and where."""

import asyncio

import pytest

from bridge.core.errors import Failed, Kind
from bridge.live.stream_end import EndReason
from bridge.live.viewer import Viewer
from bridge.wire.encoders import V1WsEncoder
from fake_tier import SOMEBODY, House, Line, query, turns, virtually

KINDS = {"ws": {}, "sse": {"sse": True}, "v1": {"v1": True}}


def house(**settings):
    made = House(**settings)
    for at, agg_id in enumerate("abcde"):
        made.tier.put(agg_id, at)
    return made


async def in_lockstep(home, **how):
    """A client that has seen changes go by: the first may be of another kind than what it knows."""
    client = await home.joined(query(), **how)
    for at in (-1, 0):
        home.tier.put("a", at)
        await turns()
    assert client.viewer.lockstep is not None
    return client


@pytest.mark.parametrize("kind", list(KINDS))
@virtually
async def test_who_is_in_step_counts_as_if_it_had_flushed_alone(kind):
    async with house() as home:
        client = await in_lockstep(home, **KINDS[kind])
        viewer, log = client.viewer, client.viewer.window.log
        for n in range(5):
            await asyncio.sleep(1)
            home.tier.put("a", -2 - n)
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
async def test_late_comers_fall_in_with_what_they_were_told_already():
    async with house() as home:
        first = await in_lockstep(home)
        home.tier.put("b", -2)
        await turns()
        second = await in_lockstep(home)
        assert first.viewer.lockstep is second.viewer.lockstep
        for client in (first, second):
            assert client.viewer.frames_written == len(client.frames)
            client.leave()
            assert client.viewer.frames_written == len(client.frames)
        assert first.viewer.frames_written > second.viewer.frames_written


@pytest.mark.parametrize("kind", list(KINDS))
@virtually
async def test_a_socket_that_takes_only_part_gets_the_rest_in_order(kind):
    async with house(stall=0) as home:
        client = await in_lockstep(home, **KINDS[kind])
        viewer, sink = client.viewer, client.sink

        def half(data):
            sink.write(data[: len(data) // 2])
            sink.taking = False
            return len(data) // 2

        Line(half).lay(viewer)
        seen, told, counted = len(client.frames), viewer.frames_written, home.counts.frames
        home.tier.put("a", -2)
        await turns()
        assert sink.pending
        assert home.counts.frames - counted == viewer.frames_written - told > 0
        assert viewer.lockstep is None, "its socket is not empty"
        assert viewer.up_to_date, "it has been told all there is"
        home.tier.put("a", -3)
        await turns()
        assert len(client.frames) == seen
        sink.take()
        await asyncio.sleep(0.1)
        assert len(client.frames) == seen + 2
        client.whole()
        assert client.rows == home.tier.window(client.query)


def past(client):
    """What is sent to a client past its outlet from here on."""
    sent = []

    def send(data):
        sent.append(data)
        return client.sink.send(data)

    Line(send).lay(client.viewer)
    return sent


@pytest.mark.parametrize("kind", list(KINDS))
@virtually
async def test_nothing_is_sent_past_an_outlet_that_holds_bytes(kind):
    async with house(stall=0) as home:
        client = await in_lockstep(home, **KINDS[kind])
        sent, seen, send_buffer = past(client), len(client.frames), client.send_buffer
        write, unsent = send_buffer._write, send_buffer.unsent
        send_buffer._write, send_buffer.unsent = (
            (lambda _: None),
            (lambda: 7),
        )  # until the end of a tick, say
        send_buffer.write(b"a ping")
        send_buffer._write = write
        home.tier.put("a", -3)
        await turns()
        assert not sent
        send_buffer.unsent = unsent
        home.tier.put("a", -4)
        await turns()
        assert len(sent) == 1, "in step again as soon as its socket is empty"
        assert len(client.frames) == seen + 2
        assert client.rows == home.tier.window(query())


@virtually
async def test_nothing_is_sent_past_an_outlet_whose_connection_is_gone():
    async with house(stall=0) as home:
        gone, other = await in_lockstep(home), await in_lockstep(home)
        sent = past(gone)
        gone.send_buffer.on_connection_lost()
        for at in (-3, -4):
            home.tier.put("a", at)
            await turns()
        assert not sent
        assert other.rows == home.tier.window(query())


@virtually
async def test_of_several_on_one_socket_none_sends_before_the_rest_of_another():
    async with house(stall=0) as home:
        client = await in_lockstep(home, v1=True)
        viewer, written = client.viewer, []
        client.sink._read = written.append
        sibling = Viewer(send_buffer=client.send_buffer, encoder=V1WsEncoder("s2"), backlog=1 << 20)
        await home.hub.subscribe(sibling, query(), SOMEBODY)
        home.hub.attach(sibling)
        for at in (-1, 0):
            home.tier.put("a", at)
            await turns()
        assert viewer.lockstep is sibling.lockstep is not None
        written.clear()

        def half(data):
            written.append(data[: len(data) // 2])
            return len(data) // 2

        first, second = viewer.lockstep.members
        viewer.lockstep.members.update({first: Line(half), second: client.sink})
        home.tier.put("a", -3)
        await turns()
        home.hub.unsubscribe(sibling, EndReason.CLIENT_GONE)
        told = b"".join(written)
        assert [told.count(name) for name in (b'"sub":"s"', b'"sub":"s2"')] == [1, 1]
        half_of_it, rest, _ = written
        assert len(half_of_it + rest) == 4 + int.from_bytes(half_of_it[2:4]), "in one piece"


@virtually
async def test_history_is_not_kept_for_those_in_step(monkeypatch):
    monkeypatch.setattr("bridge.core.log.MAX_GROUPS", 100)
    async with house() as home:
        client = await in_lockstep(home)
        for n in range(500):
            home.tier.put("a", -2 - n % 2)
            await turns(3)
        assert client.viewer.window.log.head - client.viewer.window.log.tail < 200


@virtually
async def test_a_loss_is_told_to_those_in_step_and_they_fall_in_again():
    async with house() as home:
        named, plain = await in_lockstep(home, v1=True), await in_lockstep(home)
        home.tier.sub.break_off(Failed(Kind.UNAVAILABLE, "lost"))
        await turns()
        assert named.notices[-1]["type"] == "stale"
        assert named.viewer.lockstep is plain.viewer.lockstep is None
        home.tier.put("c", -5)
        await asyncio.sleep(2)
        assert named.notices[-1]["type"] == "live"
        home.tier.put("a", -7)
        await turns()
        assert named.viewer.lockstep is not None
        assert plain.viewer.lockstep is not None
        assert named.rows == plain.rows == home.tier.window(query())


@virtually
async def test_who_has_ended_is_written_nothing_more():
    async with house() as home:
        client, other = await in_lockstep(home), await in_lockstep(home)
        seen = len(client.frames)
        client._cut()
        home.tier.put("a", -9)
        await turns()
        assert len(client.frames) == seen
        assert other.rows == home.tier.window(query())


@virtually
async def test_a_client_in_step_holds_the_id_of_the_last_group_or_none_if_that_had_no_name():
    async with house() as home:
        client = await in_lockstep(home, sse=True)
        stepped = []
        for n, named in enumerate([True, True, False, False, True, False, False, True, True]):
            home.tier.named = named
            home.tier.put("a", -20 - n)
            await turns()
            assert bool(client.pos) is named
            stepped.append(client.viewer.lockstep is not None)
        # It falls out only where it must be told of another kind of id.
        assert stepped == [True, True, False, True, False, False, True, False, True]
        assert client.rows == home.tier.window(query())


@virtually
async def test_groups_of_both_kinds_in_one_tick_are_told_once():
    async with house() as home:
        client = await in_lockstep(home, sse=True)
        for named in (False, True):
            home.tier.named = named
            home.tier.put("a", -8 - named)
        await turns()
        assert client.viewer.position == client.viewer.window.log.head
        seen = len(client.frames)
        home.tier.put("a", -20)
        await turns()
        assert client.viewer.lockstep is not None
        assert len(client.frames) == seen + 1
        assert client.rows == home.tier.window(query())


@virtually
async def test_who_waits_for_room_with_a_diff_due_costs_nothing_meanwhile(monkeypatch):
    monkeypatch.setattr("bridge.live.viewer.MAX_FRAMES", 5)
    monkeypatch.setattr("bridge.live.send_buffer.MAX_UNSENT", 100)
    async with house(stall=0) as home:
        slow = await in_lockstep(home)
        slow.sink.taking = False
        for n in range(20):
            home.tier.put("a", -2 - n)
            await turns()
        assert slow.viewer.waits_for_room
        looks = []
        monkeypatch.setattr(type(slow.viewer), "_bound_backlog", lambda *_: looks.append(1))
        home.tier.put("a", -50)
        await turns()
        assert not looks
        slow.sink.take()
        await asyncio.sleep(0.1)
        assert slow.rows == home.tier.window(query())
