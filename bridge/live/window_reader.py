"""WindowReader: reads a shared window once, for a client that takes one answer and no stream.

Invariants: it holds a subscription through a viewer of its own, as every client does, so it shares,
lingers and resumes as streams do; what that viewer is shown is kept, not written; `finish` brings
it to the present, so that frames, position, digest and rows are of one moment.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from bridge.core.bundle import Bundle, SharedEncoding
from bridge.core.digest import DigestFunction
from bridge.core.errors import Failed, Kind
from bridge.core.frame import Frame
from bridge.core.query import LiveQuery

from .backend import Identity
from .hub import Hub
from .resume import Resume
from .send_buffer import DirectSend, SendBuffer, do_nothing
from .shared_window import SharedWindow
from .stall_monitor import StallMonitor
from .stream_end import End, EndReason
from .viewer import Viewer

WHOLE_TIMEOUT: Final = 20.0
"""Seconds until the window must be whole: for the tier to start, and for its snapshot."""


class _Recording:
    """Sink and encoder of a reader's viewer: keeps frames and encodes nothing."""

    resets = False
    shared: SharedEncoding | None = None

    def __init__(self) -> None:
        self.kept: list[Frame] = []
        self.resumed = ""
        self.news: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def frames(self, bundle: Bundle) -> bytes:
        """Keep the frames."""
        self.kept += bundle
        return self._note()

    def ready(self, rows: int, resumed: str, digest: DigestFunction) -> bytes:
        """Note that the window is whole, and how it came about."""
        del rows, digest
        self.resumed = resumed
        return self._note()

    def state(self, stale: str | None) -> bytes:
        """Pass over it: an answer says what holds at its moment."""
        del stale
        return b""

    def _note(self) -> bytes:
        if not self.news.done():
            self.news.set_result(None)
        return b""

    def write(self, data: bytes) -> None:
        """Write nothing."""

    def open_direct_send(self) -> DirectSend | None:
        """Return None: there is no socket."""

    @property
    def unsent(self) -> Callable[[], int]:
        """A function that returns 0."""
        return int


class WindowReader:
    """One reading: `open`, maybe `wait_for_group`, then `finish`; `close` in any case."""

    def __init__(self, hub: Hub, stall_monitor: StallMonitor, resume: Resume | None) -> None:
        self._hub = hub
        self._stall_monitor = stall_monitor
        self._recording = _Recording()
        self._ended_by: End | None = None
        """What ended the reading from outside: nothing is shown after that."""
        send_buffer = SendBuffer(self._recording, stall_monitor, on_stalled=do_nothing)
        self._viewer = Viewer(
            send_buffer=send_buffer, encoder=self._recording, backlog=0, resume=resume
        )

    @property
    def frames(self) -> list[Frame]:
        """The frames that lead from what the client has to the window."""
        return self._recording.kept

    @property
    def resumed(self) -> str:
        """How `frames` lead there: `snapshot`, `replay` or `diff`. Empty before `open` returns."""
        return self._recording.resumed

    @property
    def unchanged(self) -> bool:
        """Whether the window is the one whose position the client named."""
        return self.resumed == "replay" and not self.frames

    async def open(self, query: LiveQuery, identity: Identity) -> None:
        """Hold a subscription, and wait until its window is whole. Raise Failed."""
        try:
            async with asyncio.timeout(WHOLE_TIMEOUT):
                opened = self._hub.start_subscribe(self._viewer, query, identity)
                await asyncio.wait(
                    (opened, self._viewer.ended), return_when=asyncio.FIRST_COMPLETED
                )
                self._check_not_ended()
                if opened.done():
                    opened.result()
                self._hub.attach(self._viewer)
                await self._wait(lambda: bool(self.resumed))
        except TimeoutError:
            raise Failed(Kind.DEADLINE, "the tier did not send the window in time") from None

    async def wait_for_group(self, seconds: float) -> None:
        """Wait until the window changes, or for so many seconds. Raise Failed."""
        try:
            async with asyncio.timeout(seconds):
                await self._wait(lambda: bool(self.frames))
        except TimeoutError:
            pass

    async def _wait(self, due: Callable[[], bool]) -> None:
        """Wait until `due`. Raise Failed if the subscription, or the reading, ends before."""
        ended, recording = self._viewer.ended, self._recording
        loop = asyncio.get_running_loop()
        while not due():
            self._check_not_ended()
            if ended.done():
                failure = ended.result().failure
                raise failure or Failed(Kind.UNAVAILABLE, "the tier ended the subscription")
            if recording.news.done():
                recording.news = loop.create_future()
            await asyncio.wait((recording.news, ended), return_when=asyncio.FIRST_COMPLETED)

    def _check_not_ended(self) -> None:
        """Raise Failed if `end` was called."""
        if self._ended_by is not None:
            raise self._ended_by.failure or Failed(Kind.UNAVAILABLE, "the reading was ended")

    def finish(self) -> SharedWindow:
        """Bring the reading to the present. Return the window.

        Raise Failed where it is gone, and where the reading was ended meanwhile.
        """
        self._check_not_ended()
        self._viewer.flush()
        window = self._viewer.window
        if window is None or not window.shareable:
            raise Failed(Kind.UNAVAILABLE, "the set has grown too large to be shown anew")
        return window

    def end(self, end: End) -> None:
        """End a reading, wherever it is: it raises the failure of `end`. The first one counts."""
        self._ended_by = self._ended_by or end
        self._viewer.end(end)

    def close(self, reason: EndReason) -> None:
        """Release the subscription. Idempotent."""
        self._hub.unsubscribe(self._viewer, reason)
        self._stall_monitor.remove(self._viewer.send_buffer)
