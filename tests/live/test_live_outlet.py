import asyncio

from bridge.live.outlet import ROOM, SLICE, STROLL, SWEEP, Outlet, Watch
from fake_tier import FakeSink, virtually


class Late:
    """Somebody who waits for room; each flush takes some time."""

    def __init__(self, clock, takes=0.0):
        self.clock = clock
        self.takes = takes
        self.flushed = 0

    def flush(self):
        self.flushed += 1
        self.clock[0] += self.takes


def lagging(watch, size=10, stalled=lambda: None):
    sink = FakeSink(lambda _: None)
    sink.taking = False
    outlet = Outlet(sink, watch, stalled=stalled)
    outlet.write(b"x" * size)
    return outlet, sink


@virtually
async def test_nobody_is_looked_at_while_all_sockets_take():
    watch = Watch(stall=5)
    sink = FakeSink(lambda _: None)
    Outlet(sink, watch, stalled=lambda: None).write(b"x")
    assert watch._timer is None


@virtually
async def test_who_waits_is_flushed_once_there_is_room_and_then_left_alone():
    watch = Watch(stall=5)
    outlet, sink = lagging(watch, ROOM + 1)
    late = Late([0])
    outlet.when_roomy(late)
    outlet.when_roomy(late)
    await asyncio.sleep(1)
    assert late.flushed == 0
    sink.take(1)
    await asyncio.sleep(2 * SWEEP)
    assert late.flushed == 1
    sink.take()
    await asyncio.sleep(2 * STROLL)
    assert watch._timer is None
    assert late.flushed == 1


@virtually
async def test_a_socket_that_nobody_waits_for_is_looked_at_now_and_then_and_cut_in_time():
    watch = Watch(stall=5)
    cut, looks = [], []
    sink = FakeSink(lambda _: None)
    sink.taking = False
    outlet = Outlet(sink, watch, stalled=lambda: cut.append(watch.now() - begun))
    unsent = outlet.unsent
    outlet.unsent = lambda: looks.append(1) or unsent()
    begun = watch.now()
    outlet.write(b"a window that does not fit")
    await asyncio.sleep(4.9)
    assert len(looks) < 30
    assert not cut
    await asyncio.sleep(1.2)
    assert cut
    assert 5 <= cut[0] <= 5 + STROLL


@virtually
async def test_who_begins_to_wait_is_not_kept_by_a_watch_that_strolls():
    watch = Watch(stall=0)
    outlet, sink = lagging(watch, ROOM + 1)
    await asyncio.sleep(STROLL / 3)
    late = Late([0])
    outlet.when_roomy(late)
    sink.take(2)
    await asyncio.sleep(2 * SWEEP)
    assert late.flushed == 1


@virtually
async def test_a_sweep_lasts_a_slice_and_the_next_one_begins_with_who_was_left_out():
    clock = [0.0]
    watch = Watch(stall=0, clock=lambda: clock[0])
    late = [Late(clock, SLICE * 0.6) for _ in range(7)]
    for somebody in late:
        outlet, _ = lagging(watch)
        outlet.when_roomy(somebody)
    rounds = []
    for _ in range(4):
        await asyncio.sleep(SWEEP * 1.01)
        rounds.append([somebody.flushed for somebody in late])
    assert rounds == [
        [1, 1, 0, 0, 0, 0, 0],
        [1, 1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 1, 1, 0],
        [1, 1, 1, 1, 1, 1, 1],
    ]


@virtually
async def test_without_a_stall_limit_nobody_is_cut():
    watch = Watch(stall=0)
    cut = []
    lagging(watch, stalled=lambda: cut.append(1))
    await asyncio.sleep(1000)
    assert cut == []


@virtually
async def test_the_stall_clock_begins_with_the_first_byte_that_stays():
    watch = Watch(stall=5)
    cut = []
    await asyncio.sleep(100)
    lagging(watch, stalled=lambda: cut.append(1))
    await asyncio.sleep(4.9)
    assert cut == []
    await asyncio.sleep(0.2)
    assert cut == [1]
    assert watch._timer is None


@virtually
async def test_who_left_is_looked_at_no_more():
    watch = Watch(stall=5)
    cut = []
    outlet, _ = lagging(watch, stalled=lambda: cut.append(1))
    watch.remove(outlet)
    await asyncio.sleep(10)
    assert cut == []


@virtually
async def test_shedding_gives_up_those_with_the_most_unsent_as_few_as_will_do():
    watch = Watch(stall=0)
    gone = []
    for size in (10, 40, 20, 30):
        lagging(watch, size, stalled=lambda size=size: gone.append(size))
    done, sink = lagging(watch, 1000, stalled=lambda: gone.append("who reads"))
    await asyncio.sleep(0)
    sink.take()
    assert watch.shed(45) == 2
    assert gone == [40, 30]
    assert watch.shed(1) == 1
    assert gone == [40, 30, 20]
    assert watch.shed(1000) == 1, "there are no more"
    assert watch.shed(1000) == 0
    watch.remove(done)


@virtually
async def test_who_was_given_up_is_not_flushed_any_more():
    watch = Watch(stall=0)
    outlet, sink = lagging(watch, ROOM + 1)
    late = Late([0])
    outlet.when_roomy(late)
    await asyncio.sleep(0)
    assert watch.shed(1) == 1
    sink.take()
    await asyncio.sleep(2 * SWEEP)
    assert not late.flushed
