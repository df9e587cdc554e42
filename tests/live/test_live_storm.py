"""Storms: long random runs against an oracle. A seed is a whole run; a failure prints its steps."""

import asyncio
import contextlib
import json
import random
import time
from collections import Counter
from itertools import pairwise

import pytest

from bridge.core import log as log_module
from bridge.core.errors import Failed, Kind
from bridge.core.frame_encoding import encode
from bridge.core.op import Op
from bridge.core.query_parser import parse_query
from bridge.live import send_buffer as send_buffer_module
from bridge.live import viewer as viewer_module
from bridge.live.stream_end import EndReason
from fake_client import resume
from fake_tier import FakeTier
from live_bridge import LiveBridge
from virtual_loop import run_virtually, turns

SMALL = (  # bounds so small that a short run meets them all
    (send_buffer_module, "MAX_UNSENT", 400),
    (viewer_module, "MAX_FRAMES", 12),
    (log_module, "CHECKPOINT_EVERY", 4),
    (log_module, "MAX_GROUPS", 8),
)
IDS = "abcdefghij"
ANCHORS = (None, None, (3, "c"), (5, "a"))
LOSSES = (Kind.UNAVAILABLE, Kind.BROKEN, Kind.QUOTA, Kind.DEADLINE)
LIES = ("from before", "from beyond", "unnumbered", "in an older epoch", "renamed", "resets")
SECRET = ("from beyond", "in an older epoch")  # lies that look calm until a heartbeat tells
REFUSALS = (Kind.BAD_QUERY, Kind.DENIED, Kind.CONFLICT)
UNABLE = (Kind.UNIMPLEMENTED, Kind.NOT_FOUND, Kind.UNAVAILABLE)


@contextlib.contextmanager
def small_bounds():
    before = [(module, name, getattr(module, name)) for module, name, _ in SMALL]
    for module, name, bound in SMALL:
        setattr(module, name, bound)
    try:
        yield
    finally:
        for module, name, bound in before:
            setattr(module, name, bound)


def spelled(rng, q_limit, cursor):
    """Write one query in one of its many spellings."""
    members = {"entity": "flights", "sort": [{"column": "k", "desc": False}], "limit": q_limit}
    if cursor is not None:
        members["cursor"] = {"values": list(cursor)}
    elif rng.random() < 0.3:
        members["cursor"] = rng.choice([None, {}, {"values": []}, {"values": None}])
    if rng.random() < 0.5:
        members["mode"] = 0
    if rng.random() < 0.5:
        members["where"] = []
    items = [(rng.choice([key, key.upper(), key.title()]), v) for key, v in members.items()]
    rng.shuffle(items)
    return parse_query(json.dumps(dict(items)))


class Storm:
    """One run: actions drawn by a seed, and ten promises checked again and again."""

    def __init__(self, seed, steps):
        self.rng = random.Random(seed)
        self.seed = seed
        self.left = steps
        self.told = []
        self.clients = []
        self.gone = []  # v1 and core clients that may come back
        self.ever = Counter()
        self.may_end = set()

    def say(self, what, *more):
        self.ever[what] += 1
        self.told.append(" ".join(map(str, (what, *more))))

    async def run(self):
        rng = self.rng
        kind = rng.choice(["full", "full", "numbers", "epochs", "minimal"])
        self.tier = tier = FakeTier(
            epochs=kind in ("full", "epochs"),
            numbers=kind in ("full", "numbers"),
            chunk=rng.choice([1, 2, 3, 100]),
        )
        tier.labelled = kind == "full" or rng.random() < 0.3
        tier.named = kind != "minimal" or rng.random() < 0.5
        tier.forgets = rng.random() < 0.3
        tier.most = rng.choice([0, 0, 0, 3])
        tier.grants = random.Random(f"grants {self.seed}").choice(["", "yes", "yes", *LIES])
        self.backlog = rng.choice([600, 2000, 256 * 1024])
        sharing = rng.random() < 0.85
        self.say("tier", kind, tier.chunk, tier.labelled, tier.named, tier.forgets, tier.most)
        self.say("grants", tier.grants)
        for _ in range(rng.randrange(8)):
            tier.put(rng.choice(IDS), rng.randrange(8))
        async with LiveBridge(
            tier=tier, max_staleness=500.0, sharing=sharing, linger=rng.choice([0, 1.0, 5.0])
        ) as self.bridge:
            try:
                while self.left > 0:
                    for _ in range(rng.randrange(3, 20)):
                        self.left -= 1
                        await self.step()
                    await self.settle()
            finally:
                for client in self.clients:
                    await self.drop_task(client)
            for client in tuple(self.clients):
                await self.part(client)
            ended = Counter(self.bridge.counts.reasons)
            assert self.bridge.counts.viewers == 0
            assert sum(ended.values()) == self.ever["attached"]

    async def step(self):
        rng = self.rng
        (action,) = rng.choices(ACTIONS, WEIGHTS)
        await getattr(self, action)()
        pause = rng.choices((0, 1, 2, 3), (30, 40, 20, 10))[0]
        if pause == 1:
            await turns(rng.randrange(1, 6))
        elif pause == 2:
            await asyncio.sleep(rng.choice([0.01, 0.03, 0.1]))
        elif pause == 3:
            await asyncio.sleep(rng.uniform(0, 3))
        for client in tuple(self.clients):
            if client.end is not None:
                await self.ended(client)

    # ------------------------------------------------------------ the tier's doings

    async def change(self):
        rng = self.rng
        many = 1 if rng.random() < 0.8 else rng.randrange(2, 5)
        rows = [
            (rng.choice(IDS), None if rng.random() < 0.3 else rng.randrange(8)) for _ in range(many)
        ]
        split = rng.choice(["", "batch", "group"])
        if self.tier.forgets:
            # A leave missing in the middle of a group that ends within the limit can't be noticed.
            split = "group" if self.tier.named and split == "group" else "batch"
        self.say("change", rows, split)
        self.tier.change(rows, split=split)

    async def burst(self):
        count = self.rng.randrange(5, 40)
        self.say("burst", count)
        for _ in range(count):
            agg_id = self.rng.choice(IDS)
            self.tier.put(agg_id, self.rng.randrange(8))

    def some_sub(self):
        return self.rng.choice(self.tier.subs) if self.tier.subs else None

    async def fault(self):
        sub = self.some_sub()
        if sub is not None and sub.numbered:  # or nobody could tell
            sub.fault = self.rng.choice(["lose", "double", "late"])
            self.say("fault", sub.id, sub.fault)

    async def lose_call(self):
        sub = self.some_sub()
        if sub is not None:
            kind = self.rng.choice(LOSSES)
            self.say("lose call", sub.id, kind)
            sub.break_off(Failed(kind, "lost"))

    async def cut_snapshots(self):
        cuts = [self.rng.randrange(4) for _ in range(self.rng.randrange(1, 3))]
        self.say("cut snapshots", cuts)
        self.tier.cuts.extend(cuts)

    async def reset(self):
        sub = self.some_sub()
        if sub is None:
            return
        if not self.tier.labelled and (sub._held or any(c.task for c in self.clients)):
            # Without a request id this reset is not distinguishable from the answer to a Reanchor.
            return
        before = sub.last
        if self.rng.random() < 0.4:
            self.say("bare reset", sub.id)
            sub.bare()
            return
        self.say("reset", sub.id)
        if self.rng.random() < 0.2:
            sub.cut_at = self.rng.randrange(4)
        sub.snapshot(reanchor=False if self.tier.labelled else None)
        if self.tier.epochs and before is not None and self.rng.random() < 0.7:
            sub.raw(before)  # of an older epoch, and late
        await turns()

    async def hold(self):
        sub = self.some_sub()
        if sub is not None:
            self.say("hold", sub.id)
            sub.hold()

    async def release(self):
        for sub in self.tier.subs:
            sub.release()

    async def garbage(self):
        sub = self.some_sub()
        if sub is None:
            return
        rows = self.tier._rows(sub.query)
        kind = self.rng.randrange(7)
        self.ever["named"] += 1
        name = f"7-{self.ever['named']}" if self.tier.named else ""
        wild = self.rng.randrange(-2, 9)
        if kind == 0:
            deltas = [encode(Op.UPDATE, "zz", 3, b'{"v":3}', wild, wild, (1, "zz"), name)]
        elif kind == 1:
            deltas = [encode(Op.LEAVE, "zz", old_index=wild, new_index=-1, stream_id=name)]
        elif kind == 2:
            deltas = [encode(99, "a", 0, b"", wild, wild, None, name)]
        elif not rows:
            return
        else:
            at = self.rng.randrange(len(rows))
            row = rows[at]
            if kind == 3:  # wrong index
                deltas = [self.tier._delta(Op.UPDATE, row, wild, wild, name)]
            elif kind == 4:  # a second enter
                deltas = [self.tier._delta(Op.ENTER, row, -1, at, name)]
            elif kind == 5:  # a move from elsewhere
                deltas = [self.tier._delta(Op.MOVE, row, wild, at, name)]
            else:  # stale
                if row[2] < 2:
                    return
                old = (row[0], row[1], row[2] - 1)
                op = self.rng.choice([Op.UPDATE, Op.ENTER, Op.MOVE])
                deltas = [self.tier._delta(op, old, at, 0, name)]
        self.say("garbage", sub.id, kind, deltas)
        sub.send(deltas)

    async def trouble(self):
        rng = self.rng
        what = rng.randrange(4)
        if what == 0:
            self.tier.down = Failed(Kind.UNAVAILABLE, "down")
        elif what == 1:
            self.tier.refuse.extend([Failed(Kind.UNAVAILABLE, "no")] * rng.randrange(1, 3))
        elif what == 2:
            self.tier.latency = rng.choice([0, 0.2, 7.0])
        else:
            self.tier.down, self.tier.latency = None, 0
        self.say("trouble", what, self.tier.latency)

    async def recover(self):
        self.tier.down, self.tier.latency = None, 0

    async def over(self):
        """End a call with a permanent refusal."""
        sub = self.some_sub()
        if sub is None or self.rng.random() < 0.7:
            return
        kind = self.rng.choice([None, Kind.DENIED, Kind.NOT_FOUND])
        self.say("over", sub.id, kind)
        self.may_end.add(kind)
        sub.break_off(None if kind is None else Failed(kind, "over"))

    async def temper(self):
        """Change how the tier answers a Reanchor."""
        rng = self.rng
        tier = self.tier
        hows = ["in place"] * 3 + ["snapshot first", "snapshot later", "never"]
        if not tier.most:
            hows.append("moves, then fails")  # and never says what its own limit is
        hows.append(Failed(rng.choice(UNABLE), "can't"))
        hows.append(Failed(rng.choice(REFUSALS), "won't"))
        tier.reanchor = rng.choice(hows)
        tier.reanchor_latency = rng.choice([0, 0, 0.3])
        self.say("temper", repr(tier.reanchor), tier.reanchor_latency)

    # ------------------------------------------------------------ the clients' doings

    def some_query(self):
        q = spelled(self.rng, self.rng.choice((1, 2, 3, 3, 5)), self.rng.choice(ANCHORS))
        self.tier.follow(q)
        return q

    def stall_monitor(self, client, q):
        client.asked = {q.key}
        client.checks.append(self.look)
        client.name = f"c{self.ever['join']}"
        client.task = None
        client.since = None
        client.reanchored = 0
        client.unsure = False
        client.redo = None
        self.clients.append(client)

    def look(self, client):
        """Check that a client shows a state that the tier was in, and never a mixture."""
        if client.sink.pending or client._buffer:
            return
        client.check_rows()
        shown = tuple(client.rows)
        assert any(shown in self.tier.states[key] for key in client.asked), (client.name, shown)

    async def join(self):
        if len(self.clients) > 8:
            return
        q = self.some_query()
        v1 = self.rng.random() < 0.5
        client = self.bridge.client(v1=v1, backlog=self.backlog)
        self.say("join", v1, q.limit, q.cursor)
        self.stall_monitor(client, q)
        client.task = asyncio.create_task(self.joining(client, q))

    async def joining(self, client, q):
        await client.join(q)
        self.ever["attached"] += 1
        client.asked.add(q.key)

    async def back(self):
        """Return as a client that has left, with its position."""
        if not self.gone or len(self.clients) > 8:
            return
        old = self.gone.pop(self.rng.randrange(len(self.gone)))
        named = [f["stream_id"] for f in old.frames if "stream_id" in f]
        if not old.v1:
            if not named or "stream_id" not in old.frames[-1]:
                return  # holds no id
            again = resume(old, stream_id=named[-1])
        else:
            again = resume(old, known=self.rng.random() < 0.6)
            if self.rng.random() < 0.2:
                again = resume(old, known=True)
        client = self.bridge.client(v1=old.v1, backlog=self.backlog, resume=again, rows=old.rows)
        client.splices = old.v1
        self.say("join", "back", old.name, again)
        self.stall_monitor(client, old.query)
        client.asked |= old.asked
        client.task = asyncio.create_task(self.joining(client, old.query))

    def some_client(self):
        return self.rng.choice(self.clients) if self.clients else None

    async def leave(self):
        client = self.some_client()
        if client is not None:
            self.say("leave", client.name)
            await self.part(client)
            if client.begun and not client.sink.pending and not client.unsure:
                self.gone.append(client)

    async def part(self, client):
        await self.drop_task(client)
        client.leave()
        self.clients.remove(client)

    async def drop_task(self, client):
        task, client.task = client.task, None
        if task is None:
            return
        if not task.done():
            client.unsure = True
        task.cancel()
        with contextlib.suppress(Failed, asyncio.CancelledError):
            await task

    async def stall(self):
        client = self.some_client()
        if client is not None and client.sink.taking:
            self.say("stall", client.name)
            client.sink.taking = False
            client.since = self.bridge.stall_monitor.now()

    async def read(self):
        client = self.some_client()
        if client is not None:
            count = self.rng.choice([None, 10, 200])
            self.say("read", client.name, count)
            client.sink.take(count)

    async def move(self):
        client = self.some_client()
        if client is None or not client.viewer.attached:
            return
        q = self.some_query()
        self.say("reanchor", client.name, q.limit, q.cursor, client.task is not None)
        client.asked.add(q.key)
        client.reanchored += 1
        client.moved = True
        before, client.task = client.task, None
        if before is not None:
            before.add_done_callback(lambda task: task.cancelled() or task.exception())
        if before is not None and not before.done():
            client.unsure = True
            before.cancel()
        client.task = asyncio.create_task(self.moving(client, q, before))

    async def moving(self, client, q, before):
        if before is not None:
            await asyncio.wait([before])
        client.redo = q
        await client.reanchor(q)
        client.redo = None
        client.unsure = False

    async def ended(self, client):
        reason, failure = client.end.reason, client.end.failure
        self.say("ended", client.name, reason, failure and failure.kind)
        if reason is EndReason.STALLED:
            assert client.stalled
            assert self.bridge.stall_monitor.now() - client.since >= 5
        elif reason is EndReason.COMPLETED:
            assert None in self.may_end
        else:
            assert reason is EndReason.FAILED
            assert failure.kind in self.may_end, failure.kind
        await self.part(client)

    # ------------------------------------------------------------ calm, and what then holds

    async def settle(self):
        tier = self.tier
        self.say("settle")
        tier.down, tier.latency, tier.reanchor, tier.reanchor_latency = None, 0, "in place", 0
        tier.refuse.clear()
        tier.cuts.clear()
        for client in self.clients:
            client.sink.take()
        calm = 0
        for _ in range(400):
            for sub in tier.subs:
                sub.heal()
            await asyncio.sleep(0.3)
            for client in tuple(self.clients):
                await self.finish(client)
            calm = calm + 1 if all(self.calm(client) for client in self.clients) else 0
            if calm == (2 if tier.grants in SECRET else 1):
                break
        else:
            raise AssertionError([c.name for c in self.clients if not self.calm(c)])
        await turns()
        for client in self.clients:
            self.check(client)
        self.may_end.clear()

    async def finish(self, client):
        """Check the outcome of a join or a reanchor."""
        if client.end is not None:
            await self.ended(client)
            return
        task = client.task
        if task is None or not task.done():
            return
        client.task = None
        failure = None if task.cancelled() else task.exception()
        if failure is None:
            return
        assert isinstance(failure, Failed), failure
        self.say("failed", client.name, failure.kind)
        if not client.viewer.attached:
            self.clients.remove(client)
        elif not client.v1:
            await self.part(client)  # core is closed on it
        elif client.unsure or failure.kind not in REFUSALS:
            client.task = asyncio.create_task(self.moving(client, client.redo, None))

    def calm(self, client):
        subscription = self.bridge.hub._by_viewer.get(client.viewer)
        return (
            client.task is None
            and subscription is not None
            and subscription.live
            and client.viewer.up_to_date
        )

    def check(self, client):
        client.check_rows()
        client.moved = False
        wanted = self.tier.window(client.query)
        assert client.rows == wanted, (client.name, client.query, client.rows, wanted)
        if client.splices:
            assert client.by_index.rows == wanted
        assert client.resets <= (0 if client.resumed else 1) + 3 * client.reanchored or (
            client.resumed and client.resets <= 1 + 3 * client.reanchored
        )
        if client.v1:
            assert client.resets <= 1
            assert client.ready is not None
            state = [n["type"] for n in client.notices if n["type"] in ("stale", "live")]
            # Told of every cause, but of each recovery once.
            assert not state or (state[0] == "stale" and state[-1] == "live")
            assert ("live", "live") not in pairwise(state)


WEIGHED = {
    "change": 60,
    "burst": 3,
    "fault": 6,
    "lose_call": 4,
    "cut_snapshots": 3,
    "reset": 4,
    "hold": 3,
    "release": 4,
    "garbage": 8,
    "trouble": 2,
    "recover": 3,
    "over": 1,
    "temper": 3,
    "join": 14,
    "back": 8,
    "leave": 8,
    "stall": 8,
    "read": 10,
    "move": 12,
}
ACTIONS, WEIGHTS = tuple(WEIGHED), tuple(WEIGHED.values())


def run_storm(seed, steps):
    random.seed(seed)  # back-off draws from it
    storm = Storm(seed, steps)
    try:
        with small_bounds():
            run_virtually(storm.run)
    except BaseException:
        print(f"seed {seed}, {len(storm.told)} lines; the last are:")
        print("\n".join(storm.told[-80:]))
        raise
    return storm


@pytest.mark.parametrize("seed", range(60))
def test_every_promise_holds_in_a_storm(seed):
    run_storm(seed, 200)


@pytest.mark.soak
def test_every_promise_holds_in_a_million_steps(capsys):
    began, steps, ever = time.monotonic(), 0, Counter()
    for seed in range(10_000, 14_000):
        storm = run_storm(seed, 250)
        steps += 250
        ever.update(storm.ever)
    with capsys.disabled():
        print(f"\n{steps} steps, {steps / (time.monotonic() - began):.0f}/s, {dict(ever)}")
