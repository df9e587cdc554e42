"""Deadlines: thousands on one timer of the loop."""

import asyncio
import logging

from bridge.web.deadlines import Deadlines
from virtual_loop import virtually


class Due:
    """Remembers when it was due, and may do something then."""

    def __init__(self, then=None):
        self.at, self._then = [], then

    def on_due(self):
        self.at.append(round(asyncio.get_running_loop().time(), 3))
        if self._then is not None:
            self._then(self)


@virtually
async def test_each_is_due_once_the_same_time_after_it_was_set():
    deadlines, began = Deadlines(10), round(asyncio.get_running_loop().time(), 3)
    first, second, lifted, renewed = (Due() for _ in range(4))
    for one in (first, lifted, renewed):
        deadlines.set(one)
    await asyncio.sleep(4)
    deadlines.set(second)
    deadlines.set(renewed)
    deadlines.lift(lifted)
    deadlines.lift(lifted)
    await asyncio.sleep(100)
    assert [one.at for one in (first, second, lifted, renewed)] == [
        [began + 10],
        [began + 14],
        [],
        [began + 14],
    ]
    assert not deadlines


@virtually
async def test_what_is_due_may_lift_set_and_fail_and_the_others_are_due_all_the_same(caplog):
    deadlines = Deadlines(1)
    victim, last = Due(), Due()
    killer = Due(lambda _: deadlines.lift(victim))
    wrong = Due(lambda _: 1 / 0)
    again = Due(deadlines.set)
    for one in (killer, victim, wrong, again, last):
        deadlines.set(one)
    with caplog.at_level(logging.ERROR):
        await asyncio.sleep(3.5)
    assert [len(one.at) for one in (killer, victim, wrong, again, last)] == [1, 0, 1, 3, 1]
    assert "what was due failed" in caplog.text
    deadlines.stop()
    await asyncio.sleep(5)
    assert len(again.at) == 3


@virtually
async def test_0_seconds_is_never_and_few_are_not_at_once_again_and_again():
    never, soon = Deadlines(0), Deadlines(1e-9)
    one, other = Due(), Due(soon.set)
    never.set(one)
    soon.set(other)
    await asyncio.sleep(0.05)
    soon.stop()
    assert not one.at
    assert 5 <= len(other.at) <= 25
