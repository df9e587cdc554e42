import asyncio

from bridge.live.flush_scheduler import FlushScheduler
from flushing import Calling
from virtual_loop import virtually


@virtually
async def test_callbacks_run_in_order_and_once_and_the_failure_of_one_does_not_stop_others(caplog):
    tick = FlushScheduler()
    called = []

    def breaks():
        called.append("breaks")
        tick.schedule(Calling(lambda: called.append("next")))
        raise ValueError("broken")

    tick.schedule(Calling(lambda: called.append("first")))
    tick.schedule(Calling(breaks))
    tick.schedule(Calling(lambda: called.append("last")))
    assert not called
    await asyncio.sleep(0)
    assert called == ["first", "breaks", "last"]
    assert [record.exc_info[0] for record in caplog.records] == [ValueError]
    await asyncio.sleep(0)
    assert called[3:] == ["next"]
    await asyncio.sleep(0)
    assert len(called) == 4


@virtually
async def test_what_a_read_makes_due_runs_once_at_its_end_and_what_comes_later_by_the_loop():
    scheduler = FlushScheduler()
    called = []
    scheduler.schedule(Calling(lambda: called.append("before")))
    scheduler.hold()
    scheduler.schedule(Calling(lambda: called.append("in the read")))
    assert not called
    scheduler.release()
    assert called == ["before", "in the read"]
    scheduler.schedule(Calling(lambda: called.append("after")))
    await asyncio.sleep(0)
    assert called == ["before", "in the read", "after"]
    scheduler.hold()
    scheduler.release()
    await asyncio.sleep(0)
    assert len(called) == 3
