import asyncio

import pytest

from bridge.demo import DAY_STARTS
from livetier.demo import flights
from livetier.demo.replay import Replay, start_minute
from livetier.sqlite.database import connect


def board(path):
    connection = connect(path, "")
    found = connection.execute("SELECT * FROM flights ORDER BY id").fetchall()
    connection.close()
    return found


def test_a_prefilled_board_is_the_board_that_the_clock_would_have_made(tmp_path):
    jumped = Replay(tmp_path / "jumped.sqlite", start=700)
    walked = Replay(tmp_path / "walked.sqlite", start=650)
    for minute in range(651, 701):
        walked.advance_to(minute)
    assert board(tmp_path / "jumped.sqlite") == board(tmp_path / "walked.sqlite")
    assert len(board(tmp_path / "jumped.sqlite")) > 100
    jumped.close()
    walked.close()


def test_the_day_starts_over_with_an_empty_board(tmp_path):
    replay = Replay(tmp_path / "day.sqlite")
    first = replay.advance_to(flights.length() - 1)
    assert board(tmp_path / "day.sqlite") == []
    assert replay.advance_to(2 * flights.length() - 1) == len(flights.events())
    assert first < len(flights.events())  # the rest was there at midnight
    replay.close()


async def test_the_clock_plays_at_its_speed_and_tells_of_every_event(tmp_path):
    replay = await asyncio.to_thread(Replay, tmp_path / "clock.sqlite", start=600)
    now, told = 0.0, 0
    seen = []

    async def committed():
        nonlocal told
        told += 1

    async def sleep(seconds):
        nonlocal now
        now += seconds
        seen.append(replay.minute)
        if now > 10:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await replay.run(speed=60, committed=committed, clock=lambda: now, sleep=sleep)
    assert replay.minute in (609, 610)
    assert seen == sorted(seen)
    assert told == sum(600 < event.minute <= replay.minute for event in flights.events())
    await asyncio.to_thread(replay.close)


@pytest.mark.parametrize("text", ["", "5", "24:00", "05:60", "5:x", "-1:00"])
def test_a_start_that_is_no_time_of_day_is_refused(text):
    with pytest.raises(ValueError, match="time of day"):
        start_minute(text)
    assert start_minute("05:30") == 330


def test_the_front_pages_board_changes_within_three_seconds_of_a_visit_after_the_start(tmp_path):
    begin = start_minute(DAY_STARTS)
    assert abs(begin - 8 * 60) <= 15
    replay = Replay(tmp_path / "morning.sqlite", start=begin)
    connection = connect(tmp_path / "morning.sqlite", "")

    def shown(airport):
        sql = "SELECT * FROM flights WHERE origin = ? ORDER BY est_dep, id LIMIT 12"
        return connection.execute(sql, (airport,)).fetchall()

    # At 60 times its speed a minute of the day is a second.
    most = {"JFK": 3, "LGA": 4, "EWR": 4}
    boards = {airport: shown(airport) for airport in most}
    waits = dict.fromkeys(most, 0)
    for minute in range(begin + 1, begin + 26):
        replay.advance_to(minute)
        for airport, seconds in most.items():
            now = shown(airport)
            waits[airport] = 0 if now != boards[airport] else waits[airport] + 1
            assert waits[airport] < seconds, (minute, airport)
            boards[airport] = now
    connection.close()
    replay.close()
