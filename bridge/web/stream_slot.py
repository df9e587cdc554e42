"""StreamSlot: one stream's place in the limits, in the counts, and among those that are open."""

from collections.abc import Callable, Hashable

from bridge.core.client_address import counted_address
from bridge.core.errors import Failed
from bridge.live.backend import Identity
from bridge.live.stream_end import End

from .context import WebContext
from .session_end import AGED, DRAINED
from .stream_request import StreamRequest


class StreamSlot:
    """A `with` block acquires and releases it.

    A class, not a generator: it lasts as long as its stream, and there are thousands.
    """

    __slots__ = ("_acquired", "_address", "_context", "_holder", "_protocol", "end")

    def __init__(
        self,
        context: WebContext,
        request: StreamRequest,
        end: Callable[[End], None] | None = None,
    ) -> None:
        self._context = context
        self._address = counted_address(request.remote)
        self._protocol = request.protocol
        self.end = end or _ignore
        """Called with DRAINED when the bridge drains, and with AGED when the stream has lasted its
        time."""
        self._holder: Hashable = None
        self._acquired = False

    def acquire(self) -> None:
        """Count the stream. Raises Failed over a limit."""
        context = self._context
        context.admission.admit(self._address)
        self._acquired = True
        context.stream_log.open[self._protocol] += 1
        context.open_streams.add(self)

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

    def drain(self) -> None:
        """End the stream, for the bridge drains."""
        self.end(DRAINED)

    def age(self) -> None:
        """End the stream, for it has lasted its time."""
        self.end(AGED)

    def release(self) -> None:
        """Count the stream no more, if it was, and let go of it. Idempotent."""
        self.end = _ignore
        if not self._acquired:
            return
        self._acquired = False
        context = self._context
        context.open_streams.discard(self)
        context.stream_log.open[self._protocol] -= 1
        context.admission.release(self._address)
        context.admission.release_holder(self._holder)

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


def _ignore(end: End) -> None:
    """Tell nobody: the stream is over."""
    del end
