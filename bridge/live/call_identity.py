"""CallIdentity: whose credential the present call runs on, and when another has to take its place.

A call outlives neither the credential that opened it nor the trust in it: some time before that
expires, or as soon as it is withdrawn, the call is replaced by one on the credential of another
subscriber, or on a newer one of the same, if there is any.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Final

from .backend import Identity
from .subscribers import lasts_longer

MARGIN: Final = (5.0, 20.0)
"""Range of seconds before its end at which a credential is replaced, at most a quarter of what is
left: spread, for the credentials of many calls may end together."""
_RECHECK: Final = 30.0
"""Seconds between two looks at the wall clock, which may be set."""
_RETRY: Final = 1.0
"""Seconds between two tries to replace a call that can't be replaced now."""


class CallIdentity:
    """Kept by a session over its calls.

    `best` returns the identity that the next call would use, None where there is none. `replace`
    has the present call replaced, and returns whether it can be. `wall_clock`: seconds since the
    epoch.
    """

    def __init__(
        self,
        *,
        best: Callable[[], Identity | None],
        replace: Callable[[], bool],
        wall_clock: Callable[[], float],
    ) -> None:
        self._best = best
        self._replace = replace
        self._wall_clock = wall_clock
        self._loop = asyncio.get_running_loop()
        self._current: Identity | None = None
        self._due = 0.0
        self._withdrawn = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def current(self) -> Identity | None:
        """That of the last call; None before the first."""
        return self._current

    def begin(self, identity: Identity) -> None:
        """Note that a call is opened on an identity."""
        self._current, self._withdrawn = identity, False
        if identity.expires_at is not None:
            left = identity.expires_at - self._wall_clock()
            margin = random.uniform(*MARGIN)  # noqa: S311 - a spread
            self._due = identity.expires_at - min(margin, max(left, 0) / 4)
        self.check()

    def stop(self) -> None:
        """Look no more. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self) -> None:
        """Forget the call, and whoever asked for this. Idempotent."""
        self.stop()
        self._current = None
        self._best, self._replace = _nobody, _never

    def on_held(self, identity: Identity) -> None:
        """Note that a subscriber came with an identity, or has it now."""
        if self._withdrawn or (self._current is not None and lasts_longer(identity, self._current)):
            self.check()

    def withdraw(self, withdrawn: Callable[[Identity], bool]) -> bool:
        """Return whether the call runs on one of the identities that are withdrawn."""
        if self._current is not None and withdrawn(self._current):
            self._withdrawn = True
        return self._withdrawn

    def check(self) -> None:
        """Have the call replaced if it is time and there is another identity."""
        self.stop()
        current = self._current
        if current is None or (current.expires_at is None and not self._withdrawn):
            return
        left = self._due - self._wall_clock()
        if not self._withdrawn and left > 0:
            self._timer = self._loop.call_later(min(left, _RECHECK), self.check)
            return
        best = self._best()
        if best is None or best == current:
            return
        if (self._withdrawn or lasts_longer(best, current)) and not self._replace():
            self._timer = self._loop.call_later(_RETRY, self.check)


def _nobody() -> None:
    """Return no identity."""


def _never() -> bool:
    """Replace nothing."""
    return False
