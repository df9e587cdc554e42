# ruff: noqa: S608 (the names in the statements are the script's own; values are bound)
"""The demo's table: one stormy day at the New York airports, as a list of events.

The data set has the scheduled and the actual departures. ``events`` invents what a departures
board shows in between: when a delay was announced, in which steps, when boarding began, when a
cancellation was announced. The result is the same every time: what looks random is a hash of the
flight's id. Minutes count from midnight of the day.
"""

import csv
import sqlite3
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from importlib import resources

from livetier.sqlite.literal import SqlValue

MIDNIGHT = datetime(2013, 7, 10)  # noqa: DTZ001 (a local time, as the data has it)
LISTED_BEFORE = 360
# A shorter delay is not announced.
ANNOUNCED_DELAY = 16
DEPARTED_SHOWN = 10
CANCELLED_SHOWN = 45

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

_COPIED_COLUMNS = (
    "id", "carrier", "airline", "flight", "tail", "origin", "dest", "dest_name", "distance_mi",
    "sched_dep",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Event:
    """One change of one flight. ``values`` has the columns to set: all of them for an insert."""

    minute: int
    flight: str
    kind: str  # insert, update or delete
    values: Mapping[str, SqlValue]

    def apply(self, connection: sqlite3.Connection) -> None:
        """Execute the event; the caller commits."""
        if self.kind == "delete":
            connection.execute("DELETE FROM flights WHERE id = ?", (self.flight,))
            return
        names = list(self.values)
        if self.kind == "insert":
            # REPLACE, for a database in which an earlier replay was stopped half-way.
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
    source = resources.files("livetier.demo") / "data" / "departures-2013-07-10.csv"
    lines = source.read_text(encoding="utf-8").splitlines()
    found = [event for record in csv.DictReader(lines) for event in _flight_events(record)]
    # Stable: a flight's own events of one minute stay in their order.
    return tuple(sorted(found, key=lambda event: (event.minute, event.flight)))


def length() -> int:
    """Return the length of the day of events in minutes; it ends after midnight."""
    return events()[-1].minute + 1


def _flight_events(record: Mapping[str, str]) -> Iterator[Event]:
    """Yield one flight's events, from its insertion to its deletion."""
    flight = record["id"]
    scheduled = minute_of(record["sched_dep"])
    listed = max(0, scheduled - LISTED_BEFORE)
    values: dict[str, SqlValue] = {name: record[name] for name in _COPIED_COLUMNS}
    values.update(flight=int(record["flight"]), distance_mi=int(record["distance_mi"]))
    values.update(est_dep=stamp_of(scheduled), actual_dep=None, delay_min=None, status="scheduled")
    yield Event(listed, flight, "insert", values)
    if record["actual_dep"]:
        yield from _departure(flight, scheduled, minute_of(record["actual_dep"]))
    else:
        yield from _cancellation(flight, scheduled)


def _departure(flight: str, scheduled: int, actual: int) -> Iterator[Event]:
    boarding = actual - 25 - _hash_below(flight, "boarding", 10)
    if actual - scheduled >= ANNOUNCED_DELAY:
        yield from _delays(flight, scheduled, actual, boarding)
    yield Event(boarding, flight, "update", {"status": "boarding"})
    departed: dict[str, SqlValue] = {
        "status": "departed",
        "est_dep": stamp_of(actual),
        "actual_dep": stamp_of(actual),
        "delay_min": actual - scheduled,
    }
    yield Event(actual, flight, "update", departed)
    yield Event(actual + DEPARTED_SHOWN, flight, "delete", {})


def _delays(flight: str, scheduled: int, actual: int, boarding: int) -> Iterator[Event]:
    """Yield the steps in which a delay is announced; the last one has the actual time."""
    delay = actual - scheduled
    steps = 1 + sum(delay > bound for bound in (30, 60, 150, 300))
    begin = scheduled - 20 - _hash_below(flight, "admission", 50)
    shown = scheduled
    for step in range(steps):
        minute = begin + (boarding - 1 - begin) * step // steps
        estimate = actual
        if step < steps - 1:
            share = scheduled + delay * (step + 1) // steps
            # Airlines estimate in steps of five minutes, and no time that is almost over.
            estimate = min(actual, max(share // 5 * 5, (minute + 20) // 5 * 5))
        if estimate > shown:
            shown = estimate
            yield _delayed(minute, flight, scheduled, estimate)


def _cancellation(flight: str, scheduled: int) -> Iterator[Event]:
    minute = max(scheduled - 150 + _hash_below(flight, "cancellation", 240), 0)
    if minute > scheduled - 20:
        # A flight that is cancelled late was delayed first.
        estimate = (max(scheduled + 40, minute + 20) + 4) // 5 * 5
        early = scheduled - 25 - _hash_below(flight, "admission", 40)
        yield _delayed(early, flight, scheduled, estimate)
    yield Event(minute, flight, "update", {"status": "cancelled", "delay_min": None})
    yield Event(minute + CANCELLED_SHOWN, flight, "delete", {})


def _delayed(minute: int, flight: str, scheduled: int, estimate: int) -> Event:
    values: dict[str, SqlValue] = {
        "status": "delayed",
        "est_dep": stamp_of(estimate),
        "delay_min": estimate - scheduled,
    }
    return Event(minute, flight, "update", values)


def _hash_below(flight: str, topic: str, bound: int) -> int:
    """Return a number in [0, bound) that looks random and is always the same."""
    return zlib.crc32(f"{flight} {topic}".encode()) % bound
