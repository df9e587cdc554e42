import asyncio
from collections import defaultdict

import pytest

from livetier import flights
from livetier.database import connect
from livetier.replay import Replay, start_minute


def lives():
    found = defaultdict(list)
    for event in flights.events():
        found[event.flight].append(event)
    return found


def test_the_script_is_in_order_of_time_and_the_same_every_time():
    events = flights.events()
    assert list(events) == sorted(events, key=lambda event: (event.minute, event.flight))
    flights.events.cache_clear()
    assert flights.events() == events


def test_every_flight_is_announced_first_and_removed_last():
    found = lives()
    assert len(found) == 1004
    for life in found.values():
        assert [life[0].kind, life[-1].kind] == ["insert", "delete"]
        assert all(event.kind == "update" for event in life[1:-1])


def test_a_flight_boards_then_departs_or_else_is_cancelled():
    endings = defaultdict(int)
    for life in lives().values():
        stages = [event.values["status"] for event in life if event.values]
        stages = [stage for stage in stages if stage != "delayed"]
        endings[tuple(stages)] += 1
    assert endings == {
        ("scheduled", "boarding", "departed"): 883,
        ("scheduled", "cancelled"): 121,
    }


def test_estimates_only_get_later_until_the_last_one_is_true():
    revised = defaultdict(int)
    for life in lives().values():
        told = [event.values["est_dep"] for event in life if "est_dep" in event.values]
        left = life[-2].values.get("actual_dep")
        late = [event for event in life if event.values.get("status") == "delayed"]
        assert told[: len(late) + 1] == sorted(set(told[: len(late) + 1]))
        for event in late:
            assert flights.minute_of(event.values["est_dep"]) > event.minute
            assert event.values["delay_min"] > 0
        if late and left:
            assert late[-1].values["est_dep"] == left
        revised[len(late)] += 1
    assert min(revised[step] for step in range(1, 5)) > 20


def test_a_departed_row_has_the_times_of_the_data_and_goes_ten_minutes_later():
    life = lives()["US1431-EWR-0500"]
    departed, removed = life[-2:]
    assert departed.values["actual_dep"] == "2013-07-10T04:59"
    assert departed.values["delay_min"] == -1
    assert removed.minute == departed.minute + 10


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
