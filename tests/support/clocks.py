"""Clocks that tests set."""


class Clock:
    """Seconds, as loop.time; `now` is set by the test."""

    def __init__(self, now=1000.0):
        self.now = now

    def __call__(self):
        return self.now
