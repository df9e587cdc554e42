"""On whose credential the tier is asked: a living one, always, and nobody is sent a reset for it."""

import asyncio

from bridge.core.errors import Failed, Kind
from bridge.live.backend import Identity
from fake_tier import query
from live_bridge import LiveBridge
from virtual_loop import turns, virtually


def who(name, *, expires=None):
    """Return an identity of the one scope there is; `expires`: in the loop's time."""
    return Identity(
        metadata=(("authorization", name),), expires_at=expires, credential={"sub": name}
    )


def make_bridge(**settings):
    clock = asyncio.get_running_loop().time
    made = LiveBridge(wall_clock=clock, **settings)
    for at, agg_id in enumerate("abcde"):
        made.tier.put(agg_id, at)
    return made


def asked(bridge):
    return [identity.metadata[0][1] for _, identity in bridge.tier.asked]


def withdraw(bridge, *names):
    bridge.hub.withdraw(lambda identity: identity.credential["sub"] in names)


@virtually
async def test_a_call_moves_to_the_credential_that_lasts_longest_before_its_own_ends():
    now = asyncio.get_running_loop().time()
    async with make_bridge() as bridge:
        first = await bridge.joined(query(), who("short", expires=now + 100))
        others = [
            await bridge.joined(query(), who(name, expires=now + left))
            for name, left in (("long", 1000), ("middle", 500))
        ]
        await asyncio.sleep(79)
        assert asked(bridge) == ["short"]
        bridge.tier.put("a", 9)
        await asyncio.sleep(20)
        assert asked(bridge) == ["short", "long"]
        assert bridge.counts.losses == ["credential"]
        assert len(bridge.tier.subs) == 1
        bridge.tier.put("b", 9)
        await asyncio.sleep(1)
        for client in (first, *others):
            assert client.resets == 1


@virtually
async def test_a_credential_without_an_end_is_never_left():
    now = asyncio.get_running_loop().time()
    async with make_bridge() as bridge:
        await bridge.joined(query(), who("short", expires=now + 60))
        await bridge.joined(query(), who("endless"))
        await bridge.joined(query(), who("later", expires=now + 90))
        await asyncio.sleep(3600)
        assert asked(bridge) == ["short", "endless"]


@virtually
async def test_a_sole_holders_call_is_left_alone_until_there_is_a_newer_credential():
    now = asyncio.get_running_loop().time()
    async with make_bridge() as bridge:
        client = await bridge.joined(query(), who("old", expires=now + 60))
        await asyncio.sleep(58)
        assert asked(bridge) == ["old"]
        bridge.hub.update_identity(client.viewer, who("new", expires=now + 600))
        await turns()
        await asyncio.sleep(0.1)
        assert asked(bridge) == ["old", "new"]
        await asyncio.sleep(500)
        assert asked(bridge) == ["old", "new"]


@virtually
async def test_a_credential_that_is_renewed_while_a_window_moves_is_the_new_windows():
    now = asyncio.get_running_loop().time()
    async with make_bridge() as bridge:
        await bridge.joined(query(), who("bob"))
        client = await bridge.joined(query(), who("old", expires=now + 60))
        bridge.tier.mute = True
        moving = asyncio.create_task(client.reanchor(query(limit=2), who("old", expires=now + 60)))
        await turns()
        assert asked(bridge) == ["bob", "old"]
        bridge.hub.update_identity(client.viewer, who("new", expires=now + 600))
        bridge.tier.mute = False
        bridge.tier.subs[-1].snapshot(reanchor=False)
        await moving
        await asyncio.sleep(59)
        assert asked(bridge)[-1] == "new"
        assert client.end is None
        client.leave()
        assert not bridge.hub.limiter._subscriptions.get("new")


@virtually
async def test_a_withdrawn_credential_is_left_at_once_for_anothers():
    async with make_bridge() as bridge:
        gone = await bridge.joined(query(), who("alice"))
        staying = await bridge.joined(query(), who("bob"))
        assert asked(bridge) == ["alice"]
        withdraw(bridge, "alice")
        gone.leave()
        await turns()
        await asyncio.sleep(0.1)
        assert asked(bridge) == ["alice", "bob"]
        bridge.tier.put("a", 9)
        await asyncio.sleep(1)
        assert staying.resets == 1
        # It is not tried again, whatever happens to the call.
        bridge.tier.sub.break_off(Failed(Kind.UNAVAILABLE, "lost"))
        await asyncio.sleep(1)
        assert asked(bridge) == ["alice", "bob", "bob"]


@virtually
async def test_a_call_whose_holder_left_long_ago_is_withdrawn_with_its_credential():
    async with make_bridge() as bridge:
        (await bridge.joined(query(), who("alice"))).leave()
        await bridge.joined(query(), who("bob"))
        assert asked(bridge) == ["alice"], "bob found it lingering"
        withdraw(bridge, "alice")
        await asyncio.sleep(0.1)
        assert asked(bridge) == ["alice", "bob"]


@virtually
async def test_nothing_lingers_on_a_withdrawn_credential():
    async with make_bridge(linger=60.0) as bridge:
        gone = await bridge.joined(query(), who("alice"))
        (await bridge.joined(query(limit=2), who("alice"))).leave()
        withdraw(bridge, "alice")
        gone.leave()
        await turns()
        assert not bridge.tier.subs
        assert bridge.hub.subscriptions == 0


@virtually
async def test_a_call_in_its_snapshot_is_replaced_once_that_is_whole():
    async with make_bridge() as bridge:
        bridge.tier.mute = True
        opening = bridge.client().join(query(), who("alice"))
        first = await opening
        second = await bridge.client().join(query(), who("bob"))
        await turns()
        withdraw(bridge, "alice")
        await asyncio.sleep(0.5)
        assert asked(bridge) == ["alice"]
        bridge.tier.mute = False
        await asyncio.sleep(15)
        assert asked(bridge)[-1] == "bob"
        assert first.resets == second.resets == 1
