import asyncio

from bridge.live.flush_scheduler import FlushScheduler
from virtual_loop import virtually


@virtually
async def test_callbacks_run_in_order_and_once_and_the_failure_of_one_does_not_stop_others(caplog):
    tick = FlushScheduler()
    called = []

    def breaks():
        called.append("breaks")
        tick.call(lambda: called.append("next"))
        raise ValueError("broken")

    tick.call(lambda: called.append("first"))
    tick.call(breaks)
    tick.call(lambda: called.append("last"))
    assert not called
    await asyncio.sleep(0)
    assert called == ["first", "breaks", "last"]
    assert [record.exc_info[0] for record in caplog.records] == [ValueError]
    await asyncio.sleep(0)
    assert called[3:] == ["next"]
    await asyncio.sleep(0)
    assert len(called) == 4
