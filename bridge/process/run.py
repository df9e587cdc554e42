"""Run: a service from its start to its drained end, as signals ask; the event loop around it."""

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from .gc_tuning import tune_gc

T = TypeVar("T")


class Service(Protocol):
    """What `run_service` needs of a bridge."""

    async def start(self) -> str:
        """Listen; returns the URL."""
        ...

    async def reload(self) -> None:
        """Read certificate files again."""
        ...

    async def drain(self) -> None:
        """Say goodbye to every client; returns when all are gone."""
        ...

    async def close(self) -> None:
        """Release everything."""
        ...


async def run_service(
    service: Service, *, stop: asyncio.Event, on_listening: Callable[[str], None]
) -> None:
    """Start, wait for `stop`, drain, close. `stop` set again ends the drain at once.

    SIGHUP reloads. The service is closed however this ends.
    """
    loop = asyncio.get_running_loop()
    reloads: set[asyncio.Task[None]] = set()

    def reload() -> None:
        task = loop.create_task(service.reload(), name="reload")
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)
    try:
        url = await _unless_set(stop, service.start())
        if url is None:
            return
        on_listening(url)
        tune_gc()
        await stop.wait()
        stop.clear()
        await _unless_set(stop, service.drain())
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
        if reloads:
            await asyncio.wait(reloads)
        await service.close()


async def _unless_set(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """Await `work`, or cancel it when `stop` is set first; then returns None."""
    task = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((task, stopping), return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        for either in (task, stopping):
            either.cancel()
        await asyncio.wait((task, stopping))


def stop_signal() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


async def stop_at_end_of_stdin(stop: asyncio.Event) -> None:
    """Set `stop` when stdin closes: the parent process has ended. Returns at once."""

    class Watcher(asyncio.Protocol):
        def connection_lost(self, _: Exception | None) -> None:
            stop.set()

    await asyncio.get_running_loop().connect_read_pipe(Watcher, sys.stdin)


def run_event_loop(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` in a new event loop: uvloop's where it is installed, else asyncio's."""
    try:
        import uvloop  # noqa: PLC0415 - not built everywhere
    except ImportError:
        run = asyncio.run
    else:
        run = uvloop.run
    return run(main)
