"""VirtualLoop: an event loop whose clock jumps to the next timer. Tests on it do not sleep."""

import asyncio
import functools
import inspect
import selectors


class _NoFiles(selectors.SelectSelector):
    """Never waits: with nothing ready, time goes on to the next timer at once."""

    loop = None

    def select(self, timeout=None):
        if timeout is None:
            raise RuntimeError("nothing is ready and no timer is set: a deadlock")
        if timeout > 0:
            self.loop.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop without real time: nothing sleeps, every run is the same."""

    def __init__(self):
        self.now = 1000.0
        self.complaints = []
        selector = _NoFiles()
        selector.loop = self
        super().__init__(selector)
        self.set_exception_handler(lambda _, context: self.complaints.append(context))

    def time(self):
        return self.now


def run_virtually(make):
    """Run the coroutine that `make()` returns; no task may be left, no exception unheard."""
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    try:
        result = loop.run_until_complete(make())
        left = [task for task in asyncio.all_tasks(loop) if not task.done()]
        assert not left, left
        assert not loop.complaints, loop.complaints
        return result
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        asyncio.set_event_loop(None)
        loop.close()


def virtually(test):
    """Let an async test run on a virtual clock."""

    @functools.wraps(test)
    def run(*args, **kwargs):
        run_virtually(lambda: test(*args, **kwargs))

    # pytest must see a plain function.
    del run.__wrapped__
    run.__signature__ = inspect.signature(test)
    return run


async def turns(count=20):
    """Let whatever is ready run, and what that makes ready, without time passing."""
    for _ in range(count):
        await asyncio.sleep(0)
