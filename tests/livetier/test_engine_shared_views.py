from livequery.v1 import livequery_pb2 as pb
from livetier.engine.errors import query_failed
from livetier.engine.shared_views import SharedViews
from livetier.engine.store import Plan, Step, View
from livetier.engine.subscription import Subscription


def view(key):
    return View(Plan(pb.LiveQuery(), key))


def test_a_view_is_in_use_while_it_has_subscribers_and_is_released_after_the_last():
    released = []
    views = SharedViews(released.append)
    shown = view("k")
    one, two = Subscription("1", shown), Subscription("2", shown)
    views.join(one)
    views.join(two)
    assert list(views) == [views.get("k")] == [shown]
    views.leave(one)
    views.leave(one)
    assert released == []
    views.leave(two)
    assert released == [shown]
    assert len(views) == 0


def test_a_step_reaches_all_who_share_its_view_unless_another_view_took_its_place():
    views = SharedViews(lambda _: None)
    before, after = view("k"), view("k")
    one = Subscription("1", before)
    views.join(one)
    assert list(views.succeed(Step(before, after))) == [one]
    assert one.view is after
    assert list(views.succeed(Step(before, view("k")))) == []
    assert one.view is after


def test_a_step_with_an_error_ends_the_use_of_its_view():
    released = []
    views = SharedViews(released.append)
    failed = view("k")
    one = Subscription("1", failed)
    views.join(one)
    assert list(views.succeed(Step(failed, failed, error=query_failed()))) == [one]
    assert released == [failed]
    again = Subscription("2", view("k"))
    views.join(again)
    views.leave(one)
    assert list(views) == [again.view]


def test_a_subscription_that_moves_to_a_view_of_the_same_plan_releases_nothing():
    released = []
    views = SharedViews(released.append)
    one = Subscription("1", view("k"))
    views.join(one)
    views.move(one, view("k"))
    assert released == []
    old = one.view
    views.move(one, view("other"))
    assert released == [old]
    views.leave(one)
    gone = len(released)
    views.move(one, view("third"))
    assert len(views) == 0
    assert len(released) == gone
