# ruff: noqa: S608 (the names in the statements are the script's own; values are bound)
"""The demo's table: one stormy day at the New York airports, as a script of events.

The data set says when flights were to leave and when they did. ``events`` invents what a
departures board shows in between, deterministically: when a delay was admitted, in which steps,
when boarding began, when a cancellation was announced. Nothing random: a flight's whims come from
a hash of its id. Minutes count from midnight of the day.
"""

import csv
import sqlite3
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from importlib import resources

from livetier.value import SqlValue

MIDNIGHT = datetime(2013, 7, 10)  # noqa: DTZ001 (a local time, as the data has it)
ANNOUNCED_BEFORE = 360
# Up to here a late flight just leaves: no board admits a quarter of an hour.
ADMITTED_FROM = 16
LAST_CALL = 35
STAYS_DEPARTED = 10
STAYS_CANCELLED = 45

TABLE = """
CREATE TABLE IF NOT EXISTS flights (
    id TEXT PRIMARY KEY NOT NULL,
    carrier TEXT NOT NULL,
    airline TEXT NOT NULL,
    flight INTEGER NOT NULL,
    tail TEXT,
    origin TEXT NOT NULL,
    dest TEXT NOT NULL,
    dest_name TEXT NOT NULL,
    distance_mi INTEGER NOT NULL,
    sched_dep TEXT NOT NULL,
    est_dep TEXT NOT NULL,
    actual_dep TEXT,
    delay_min INTEGER,
    status TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS flights_by_est_dep ON flights (est_dep, id);
"""

_AS_IN_THE_DATA = (
    "id", "carrier", "airline", "flight", "tail", "origin", "dest", "dest_name", "distance_mi",
    "sched_dep",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Event:
    """One change of one flight: what to set (all of it if new), or that it goes."""

    minute: int
    flight: str
    kind: str  # insert, update or delete
    values: Mapping[str, SqlValue]

    def apply(self, connection: sqlite3.Connection) -> None:
        """Carry the event out; the caller commits."""
        if self.kind == "delete":
            connection.execute("DELETE FROM flights WHERE id = ?", (self.flight,))
            return
        names = list(self.values)
        if self.kind == "insert":
            # REPLACE, for a database that a replay was stopped in the middle of.
            marks = ", ".join("?" * len(names))
            statement = f"REPLACE INTO flights ({', '.join(names)}) VALUES ({marks})"
            connection.execute(statement, tuple(self.values.values()))
            return
        sets = ", ".join(f"{name} = ?" for name in names)
        connection.execute(
            f"UPDATE flights SET {sets} WHERE id = ?", (*self.values.values(), self.flight)
        )


def minute_of(stamp: str) -> int:
    """Return the minute of an ISO 8601 time of the data."""
    return int((datetime.fromisoformat(stamp) - MIDNIGHT) / timedelta(minutes=1))


def stamp_of(minute: int) -> str:
    """Return the ISO 8601 time of a minute; ``minute_of`` reads it."""
    return (MIDNIGHT + timedelta(minutes=minute)).isoformat(timespec="minutes")


@cache
def events() -> tuple[Event, ...]:
    """Return the day's events in order of time; those of a minute in order of flight."""
    source = resources.files("livetier") / "data" / "departures-2013-07-10.csv"
    lines = source.read_text(encoding="utf-8").splitlines()
    found = [event for record in csv.DictReader(lines) for event in _life(record)]
    # Stable: a flight's own events of one minute stay in their order.
    return tuple(sorted(found, key=lambda event: (event.minute, event.flight)))


def length() -> int:
    """Return the minutes that a day of events takes: it ends past midnight."""
    return events()[-1].minute + 1


def _life(record: Mapping[str, str]) -> Iterator[Event]:
    """Yield one flight's events, from its announcement to its removal."""
    flight = record["id"]
    scheduled = minute_of(record["sched_dep"])
    announced = max(0, scheduled - ANNOUNCED_BEFORE)
    values: dict[str, SqlValue] = {name: record[name] for name in _AS_IN_THE_DATA}
    values.update(flight=int(record["flight"]), distance_mi=int(record["distance_mi"]))
    values.update(est_dep=stamp_of(scheduled), actual_dep=None, delay_min=None, status="scheduled")
    yield Event(announced, flight, "insert", values)
    if record["actual_dep"]:
        yield from _departure(flight, scheduled, minute_of(record["actual_dep"]))
    else:
        yield from _cancellation(flight, scheduled)


def _departure(flight: str, scheduled: int, actual: int) -> Iterator[Event]:
    boarding = actual - 25 - _whim(flight, "boarding", 10)
    if actual - scheduled >= ADMITTED_FROM:
        yield from _admissions(flight, scheduled, actual, boarding)
    yield Event(boarding, flight, "update", {"status": "boarding"})
    left: dict[str, SqlValue] = {
        "status": "departed",
        "est_dep": stamp_of(actual),
        "actual_dep": stamp_of(actual),
        "delay_min": actual - scheduled,
    }
    yield Event(actual, flight, "update", left)
    yield Event(actual + STAYS_DEPARTED, flight, "delete", {})


def _admissions(flight: str, scheduled: int, actual: int, boarding: int) -> Iterator[Event]:
    """Yield the steps in which a delay is admitted: the last one tells the truth."""
    delay = actual - scheduled
    steps = 1 + sum(delay > bound for bound in (30, 60, 150, 300))
    begin = scheduled - 20 - _whim(flight, "admission", 50)
    told = scheduled
    for step in range(steps):
        minute = begin + (boarding - 1 - begin) * step // steps
        estimate = actual
        if step < steps - 1:
            share = scheduled + delay * (step + 1) // steps
            # Airlines estimate in fives, and never a time that has all but passed.
            estimate = min(actual, max(share // 5 * 5, (minute + 20) // 5 * 5))
        if estimate > told:
            told = estimate
            yield _delayed(minute, flight, scheduled, estimate)


def _cancellation(flight: str, scheduled: int) -> Iterator[Event]:
    minute = max(scheduled - 150 + _whim(flight, "cancellation", 240), 0)
    if minute > scheduled - 20:
        # Nobody calls a flight off at its gate before having put it off.
        estimate = (max(scheduled + 40, minute + 20) + 4) // 5 * 5
        early = scheduled - 25 - _whim(flight, "admission", 40)
        yield _delayed(early, flight, scheduled, estimate)
    yield Event(minute, flight, "update", {"status": "cancelled", "delay_min": None})
    yield Event(minute + STAYS_CANCELLED, flight, "delete", {})


def _delayed(minute: int, flight: str, scheduled: int, estimate: int) -> Event:
    values: dict[str, SqlValue] = {
        "status": "delayed",
        "est_dep": stamp_of(estimate),
        "delay_min": estimate - scheduled,
    }
    return Event(minute, flight, "update", values)


def _whim(flight: str, topic: str, below: int) -> int:
    """Return a number in [0, below) that looks random and is always the same."""
    return zlib.crc32(f"{flight} {topic}".encode()) % below
