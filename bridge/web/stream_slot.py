"""StreamSlot: one stream's place in the limits, in the counts, and among those that are drained."""

import random
from collections.abc import Callable, Hashable

from bridge.core.client_address import counted_address
from bridge.core.errors import Failed
from bridge.live.backend import Identity
from bridge.live.send_buffer import do_nothing

from .context import WebContext
from .idle_timers import IdleTimer
from .stream_request import StreamRequest

LIFE_SPREAD = 0.1
"""Part of `--max-stream-life` by which lives differ: streams that began together end apart."""


class StreamSlot:
    """A `with` block acquires and releases it.

    `drain` is called when the bridge drains, and `age` when the stream has lasted its time.
    A class, not a generator: it lasts as long as its stream, and there are thousands.
    """

    __slots__ = (
        "_acquired",
        "_address",
        "_age",
        "_context",
        "_drain",
        "_holder",
        "_life",
        "_protocol",
    )

    def __init__(
        self,
        context: WebContext,
        request: StreamRequest,
        *,
        drain: Callable[[], None],
        age: Callable[[], None] = do_nothing,
    ) -> None:
        self._context = context
        self._address = counted_address(request.remote)
        self._protocol = request.protocol
        self._drain = drain
        self._age = age
        self._holder: Hashable = None
        self._life: IdleTimer | None = None
        self._acquired = False

    def acquire(self) -> None:
        """Count the stream. Raises Failed over a limit."""
        context = self._context
        context.admission.admit(self._address)
        self._acquired = True
        context.stream_log.open[self._protocol] += 1
        context.clients[self._drain] = None
        if self._age is not do_nothing:
            spread = random.uniform(1 - LIFE_SPREAD, 1 + LIFE_SPREAD)  # noqa: S311
            life = context.settings.max_stream_life * spread
            self._life = context.idle_timers.start(life, self._age)

    def acquire_for(self, request: StreamRequest) -> None:
        """Count the stream, also for a credential in its header. Raises Failed over a limit."""
        self.acquire()
        try:
            self._count_for(self._context.authenticator.header_holder(request))
        except Failed:
            self.release()
            raise

    def identify(self, identity: Identity) -> None:
        """Count an acquired stream for a credential, and no more for the one before.

        Raises:
            Failed: QUOTA over the limit; then it is counted for the one before.

        """
        self._count_for(identity.holder)

    def _count_for(self, holder: Hashable) -> None:
        if self._acquired and holder != self._holder:
            admission, before = self._context.admission, self._holder
            admission.admit_holder(holder)
            self._holder = holder
            admission.release_holder(before)

    def release(self) -> None:
        """Count the stream no more, if it was, and let go of it. Idempotent."""
        drain, self._drain, self._age = self._drain, do_nothing, do_nothing
        if not self._acquired:
            return
        self._acquired = False
        context = self._context
        del context.clients[drain]
        context.stream_log.open[self._protocol] -= 1
        context.admission.release(self._address)
        context.admission.release_holder(self._holder)
        if self._life is not None:
            self._life.stop()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()
