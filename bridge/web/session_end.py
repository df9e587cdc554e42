"""How the bridge ends streams of its own accord, and how long clients have then."""

import random
from typing import Final

from bridge.core.errors import Failed, Kind
from bridge.live.stream_end import End, EndReason

GRACE = 5.0
"""Seconds that a client has to take what it was sent before its connection is dropped."""
DRAINED: Final = End(EndReason.DRAINED, Failed(Kind.DRAINING, "the bridge is restarting"))
AGED: Final = End(EndReason.AGED, Failed(Kind.DRAINING, "the stream has lasted its time"))


def random_delay_ms(least: int, most: int) -> int:
    """Pick the milliseconds after which a client comes back: spread, or all come at once."""
    return least + int((most - least) * random.random())  # noqa: S311
