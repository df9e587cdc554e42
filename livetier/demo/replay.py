"""The replay of the day into the flights table, again and again.

``advance_to`` commits every event up to a minute, one transaction each; it blocks. ``run`` does
the same by a clock. Minutes count on when the day starts again: day n starts at n times the
day's length, with an empty table.
"""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import takewhile
from pathlib import Path

from livetier.demo import flights
from livetier.sqlite.database import connect

_log = logging.getLogger("livetier")

TICK_SECONDS = 0.1
# A replay that is later than this no longer waits until each event was sent.
LATE_MINUTES = 5


def start_minute(text: str) -> int:
    """Return the minute of ``HH:MM``; raise ValueError for anything else."""
    hours, separator, minutes = text.partition(":")
    if not (separator and hours.isdecimal() and minutes.isdecimal()):
        raise ValueError(f"not a time of day: {text!r}")
    if int(hours) > 23 or int(minutes) > 59:  # noqa: PLR2004 (a clock's own numbers)
        raise ValueError(f"not a time of day: {text!r}")
    return int(hours) * 60 + int(minutes)


class Replay:
    """A replay into one database. All events up to ``minute`` are committed."""

    def __init__(self, path: Path, *, start: int = 0) -> None:
        self.minute = start
        self._connection = connect(path, flights.TABLE)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="livetier-replay")
        self._next = 0
        try:
            self._prefill(start)
        except sqlite3.Error:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection after the commit that is running, if any."""
        self._thread.shutdown(wait=True)
        self._connection.close()

    def advance_to(self, minute: int) -> int:
        """Commit every event up to ``minute`` and return how many; blocks."""
        count = 0
        while (event := self._due(minute)) is not None:
            self._commit(event)
            count += 1
        self.minute = max(self.minute, minute)
        return count

    async def run(
        self,
        *,
        speed: float,
        committed: Callable[[], Awaitable[None]],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Replay at ``speed`` simulated seconds per second until cancelled.

        ``committed`` is awaited after each event, so that each is a group of its own.
        """
        loop = asyncio.get_running_loop()
        begun, first = clock(), self.minute
        while True:
            target = first + int((clock() - begun) * speed / 60)
            try:
                while (event := self._due(target)) is not None:
                    await loop.run_in_executor(self._thread, self._commit, event)
                    if target - self._time_of(self._next - 1) < LATE_MINUTES:
                        await committed()
                self.minute = max(self.minute, target)
            except sqlite3.Error as error:
                # Another process has the lock. The clock goes on; what is due is committed later.
                _log.warning("the replay pauses: %s", error)
            await sleep(TICK_SECONDS)

    def _due(self, minute: int) -> flights.Event | None:
        """Return the next event, if its time is not after ``minute``."""
        if self._time_of(self._next) > minute:
            return None
        return flights.events()[self._next % len(flights.events())]

    def _time_of(self, number: int) -> int:
        day, place = divmod(number, len(flights.events()))
        return day * flights.length() + flights.events()[place].minute

    def _commit(self, event: flights.Event) -> None:
        with _transaction(self._connection):
            event.apply(self._connection)
        self._next += 1

    def _prefill(self, minute: int) -> None:
        """Replace all rows by the flights as they are at ``minute``, in one transaction."""
        past = list(takewhile(lambda event: event.minute <= minute, flights.events()))
        with _transaction(self._connection):
            self._connection.execute("DELETE FROM flights")
            for event in past:
                event.apply(self._connection)
        self._next = len(past)


def _transaction(connection: sqlite3.Connection) -> sqlite3.Connection:
    """Begin a transaction; as a context manager, the connection itself ends it."""
    connection.execute("BEGIN IMMEDIATE")
    return connection
