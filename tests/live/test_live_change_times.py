from bridge.live.change_times import ChangeTimes


def test_changes_of_one_commit_are_counted_and_those_of_no_known_time_are_not():
    times = ChangeTimes()
    for at in (0.0, 5.0, 5.0, 0.0, 5.0, 7.0, 5.0):
        times.add(at)
    assert times.latest == 5.0
    assert times.take() == [(5.0, 3), (7.0, 1), (5.0, 1)]


def test_what_is_taken_is_not_taken_again():
    times = ChangeTimes()
    assert (times.take(), times.latest) == ([], 0.0)
    times.add(5.0)
    times.take()
    assert times.latest == 0.0, "nothing is unwritten"
    times.add(5.0)
    assert times.take() == [(5.0, 1)]
