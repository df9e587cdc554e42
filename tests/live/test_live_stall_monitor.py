import asyncio

from bridge.live.send_buffer import MAX_UNSENT, SendBuffer
from bridge.live.stall_monitor import BUSY_INTERVAL, CALM_INTERVAL, SWEEP_BUDGET, StallMonitor
from fake_client import FakeSink
from virtual_loop import virtually


class Waiter:
    """A waiter for room. Each flush takes some time."""

    def __init__(self, clock, takes=0.0):
        self.clock = clock
        self.takes = takes
        self.flushed = 0

    def flush(self):
        self.flushed += 1
        self.clock[0] += self.takes


def lagging(stall_monitor, size=10, on_stalled=lambda: None):
    sink = FakeSink(lambda _: None)
    sink.taking = False
    send_buffer = SendBuffer(sink, stall_monitor, on_stalled=on_stalled)
    send_buffer.write(b"x" * size)
    return send_buffer, sink


@virtually
async def test_no_buffer_is_checked_while_all_sockets_take_everything():
    stall_monitor = StallMonitor(stall=5)
    sink = FakeSink(lambda _: None)
    SendBuffer(sink, stall_monitor, on_stalled=lambda: None).write(b"x")
    assert stall_monitor._timer is None


@virtually
async def test_a_waiter_is_flushed_once_when_there_is_room():
    stall_monitor = StallMonitor(stall=5)
    send_buffer, sink = lagging(stall_monitor, MAX_UNSENT + 1)
    late = Waiter([0])
    send_buffer.flush_when_room(late)
    send_buffer.flush_when_room(late)
    await asyncio.sleep(1)
    assert late.flushed == 0
    sink.take(1)
    await asyncio.sleep(2 * BUSY_INTERVAL)
    assert late.flushed == 1
    sink.take()
    await asyncio.sleep(2 * CALM_INTERVAL)
    assert stall_monitor._timer is None
    assert late.flushed == 1


@virtually
async def test_a_lagging_socket_without_waiters_is_checked_seldom_and_cut_in_time():
    stall_monitor = StallMonitor(stall=5)
    cut, looks = [], []
    sink = FakeSink(lambda _: None)
    sink.taking = False
    send_buffer = SendBuffer(
        sink, stall_monitor, on_stalled=lambda: cut.append(stall_monitor.now() - begun)
    )
    unsent = send_buffer.unsent
    send_buffer.unsent = lambda: looks.append(1) or unsent()
    begun = stall_monitor.now()
    send_buffer.write(b"a window that does not fit")
    await asyncio.sleep(4.9)
    assert len(looks) < 30
    assert not cut
    await asyncio.sleep(1.2)
    assert cut
    assert 5 <= cut[0] <= 5 + CALM_INTERVAL


@virtually
async def test_a_new_waiter_shortens_the_interval_of_the_sweeps():
    stall_monitor = StallMonitor(stall=0)
    send_buffer, sink = lagging(stall_monitor, MAX_UNSENT + 1)
    await asyncio.sleep(CALM_INTERVAL / 3)
    late = Waiter([0])
    send_buffer.flush_when_room(late)
    sink.take(2)
    await asyncio.sleep(2 * BUSY_INTERVAL)
    assert late.flushed == 1


@virtually
async def test_a_sweep_keeps_to_its_budget_and_the_next_one_begins_with_the_rest():
    clock = [0.0]
    stall_monitor = StallMonitor(stall=0, clock=lambda: clock[0])
    late = [Waiter(clock, SWEEP_BUDGET * 0.6) for _ in range(7)]
    for somebody in late:
        send_buffer, _ = lagging(stall_monitor)
        send_buffer.flush_when_room(somebody)
    rounds = []
    for _ in range(4):
        await asyncio.sleep(BUSY_INTERVAL * 1.01)
        rounds.append([somebody.flushed for somebody in late])
    assert rounds == [
        [1, 1, 0, 0, 0, 0, 0],
        [1, 1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 1, 1, 0],
        [1, 1, 1, 1, 1, 1, 1],
    ]


@virtually
async def test_without_a_stall_limit_nobody_is_cut():
    stall_monitor = StallMonitor(stall=0)
    cut = []
    lagging(stall_monitor, on_stalled=lambda: cut.append(1))
    await asyncio.sleep(1000)
    assert cut == []


@virtually
async def test_the_stall_clock_begins_with_the_first_byte_that_stays():
    stall_monitor = StallMonitor(stall=5)
    cut = []
    await asyncio.sleep(100)
    lagging(stall_monitor, on_stalled=lambda: cut.append(1))
    await asyncio.sleep(4.9)
    assert cut == []
    await asyncio.sleep(0.2)
    assert cut == [1]
    assert stall_monitor._timer is None


@virtually
async def test_a_removed_buffer_is_checked_no_more():
    stall_monitor = StallMonitor(stall=5)
    cut = []
    send_buffer, _ = lagging(stall_monitor, on_stalled=lambda: cut.append(1))
    stall_monitor.remove(send_buffer)
    await asyncio.sleep(10)
    assert cut == []


@virtually
async def test_shedding_cuts_the_fewest_clients_those_with_the_most_unsent_bytes():
    stall_monitor = StallMonitor(stall=0)
    gone = []
    for size in (10, 40, 20, 30):
        lagging(stall_monitor, size, on_stalled=lambda size=size: gone.append(size))
    done, sink = lagging(stall_monitor, 1000, on_stalled=lambda: gone.append("who reads"))
    await asyncio.sleep(0)
    sink.take()
    assert stall_monitor.shed(45) == 2
    assert gone == [40, 30]
    assert stall_monitor.shed(1) == 1
    assert gone == [40, 30, 20]
    assert stall_monitor.shed(1000) == 1, "there are no more"
    assert stall_monitor.shed(1000) == 0
    stall_monitor.remove(done)


@virtually
async def test_a_client_that_was_shed_is_not_flushed_any_more():
    stall_monitor = StallMonitor(stall=0)
    send_buffer, sink = lagging(stall_monitor, MAX_UNSENT + 1)
    late = Waiter([0])
    send_buffer.flush_when_room(late)
    await asyncio.sleep(0)
    assert stall_monitor.shed(1) == 1
    sink.take()
    await asyncio.sleep(2 * BUSY_INTERVAL)
    assert not late.flushed
