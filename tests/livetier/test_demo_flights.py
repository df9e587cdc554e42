from collections import defaultdict

from livetier.demo import flights


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


def test_every_airport_has_a_name():
    places = [event.values for event in flights.events() if event.values and "dest" in event.values]
    assert len({values["dest"] for values in places}) > 50
    for values in places:
        name = values["dest_name"]
        assert len(name) > 3, values["dest"]
        assert name != values["dest"]
        assert "\\" not in name, "an escape of the data set's own"
