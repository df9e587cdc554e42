"""Viewer: one client's view of a window, at the client's own pace.

Invariants: a viewer is written whole groups, in order; its position in the window's log says what
it was written; a viewer over its backlog bound holds a catch-up instead of a backlog, whose frames
it is written once its socket has room. Nothing here awaits.
"""

import asyncio
import logging
from time import time

from bridge.core.bundle import Bundle, SharedEncoding
from bridge.core.errors import Failed, Kind
from bridge.core.log import Log

from .catch_up import (
    SNAPSHOT,
    CatchUp,
    DiffCatchUp,
    MergeCatchUp,
    begin_with,
    catch_up_from,
)
from .encoder import Encoder
from .lockstep import Lockstep
from .resume import Resume
from .send_buffer import SendBuffer
from .shared_window import SharedWindow
from .stream_end import End, EndReason

logger = logging.getLogger(__name__)

MAX_FRAMES = 1024
"""Frames that a backlog may hold."""

_NEVER = 2**63


class Viewer:
    """One client's view. Called by subscription and hub. The web layer waits for `ended`.

    `backlog` is the bound of the backlog in bytes, 0 is none.
    """

    __slots__ = (
        "_backlog",
        "_catch_up",
        "_encoder",
        "_frames_written",
        "_position",
        "_ready_due",
        "_reported_stale",
        "_resume",
        "attached",
        "begun",
        "can_join_lockstep",
        "conflations",
        "ended",
        "lockstep",
        "made_at",
        "send_buffer",
        "waits_for_room",
        "window",
    )

    def __init__(
        self,
        *,
        send_buffer: SendBuffer,
        encoder: Encoder,
        backlog: int,
        resume: Resume | None = None,
    ) -> None:
        self.ended: asyncio.Future[End] = asyncio.get_running_loop().create_future()
        self.send_buffer = send_buffer
        self.window: SharedWindow | None = None
        """What it shows. Set by its subscription."""
        self.attached = False
        """Whether the hub counts it. Set by the hub."""
        self.lockstep: Lockstep | None = None
        """The lockstep it is in, None while it flushes alone."""
        self.can_join_lockstep = False
        """Whether nothing is due but the groups that follow its position."""
        self.waits_for_room = False
        """Whether nothing is to be done for it before its socket has room."""
        self.begun = False
        """Whether it was shown anything yet."""
        self.made_at = time()
        self.conflations = 0
        """How often its backlog was replaced by a catch-up."""
        # In lockstep, these two are the lockstep's.
        self._position = 0
        self._frames_written = 0
        self._encoder = encoder
        self._backlog = backlog or _NEVER
        self._resume = resume
        self._catch_up: CatchUp | None = None  # while set, the position means nothing
        self._ready_due: str | None = None  # the `resumed` member of a `ready` that is due
        self._reported_stale: str | None = None

    @property
    def position(self) -> int:
        """The position in the window's log up to which it was written."""
        return self._position if self.lockstep is None else self.lockstep.position

    @property
    def frames_written(self) -> int:
        """Frames written so far."""
        return (
            self._frames_written
            if self.lockstep is None
            else self._frames_written + self.lockstep.frames
        )

    @property
    def written_at(self) -> float:
        """When its socket was last written to, in the loop's time."""
        own = self.send_buffer.written_at
        return own if self.lockstep is None else max(own, self.lockstep.written_at)

    @property
    def shared(self) -> SharedEncoding | None:
        """The encoding of groups from here on. None: its bytes are shared with no other viewer."""
        return self._encoder.shared

    @property
    def up_to_date(self) -> bool:
        """Whether its client was shown the window, and all that has changed since."""
        window = self.window
        return (
            window is not None
            and self.begun
            and self._catch_up is None
            and self._ready_due is None
            and self.position == window.log.head
        )

    @property
    def oldest_needed(self) -> int:
        """The position after which this viewer needs the log."""
        needs_none = self._catch_up is not None or not self.begun or self.ended.done()
        return _NEVER if needs_none else self.position

    def digest(self) -> str | None:
        """Return the digest of the window, None where it has none (streamed, or not attached)."""
        return None if self.window is None else self.window.digest()

    # ------------------------------------------------------------ called by the subscription

    def begin(self) -> None:
        """Show the window: a snapshot, or what a returning client lacks of it."""
        if not self.begun:
            self.begun = True
            self._ready_due, self._position, self._catch_up = begin_with(self._resume, self.window)
            self._resume = None
        self.flush()

    def switch_window(self, log: Log) -> None:
        """Prepare to show another window. `log` is the one it has followed so far.

        The next flush writes a snapshot of the other window, or the difference to it.
        """
        self._leave_lockstep()
        if not self.begun or self.ended.done():
            return
        if self._encoder.resets or self.window is None or self.window.streamed:
            self._catch_up, self._ready_due = SNAPSHOT, "snapshot"
        elif self._catch_up is not SNAPSHOT:
            if self._catch_up is None:
                self._catch_up = DiffCatchUp(log.rows_at(self._position))
            self._ready_due = "diff"

    def flush(self) -> None:
        """Write what the log holds after this viewer's position, or wait for room.

        Never raises: a failure of one connection must not affect other clients.
        """
        self._leave_lockstep()
        window = self.window
        if window is None or not self.begun or self.ended.done():
            return
        try:
            if self.send_buffer.has_room:
                self._flush(window)
            else:
                self.send_buffer.flush_when_room(self)
                self._bound_backlog(window)
        except Exception:
            logger.exception("a viewer failed")
            self._end_failed()
        else:
            self.can_join_lockstep = (
                self._catch_up is None
                and self._ready_due is None
                and self._reported_stale is None
                and not self.ended.done()
            )

    def _end_failed(self) -> None:
        self.end(End(EndReason.FAILED, Failed(Kind.BROKEN, "the bridge failed")))

    def _flush(self, window: SharedWindow) -> None:
        log = window.log
        if self._catch_up is not None:
            self._write_catch_up(self._catch_up, window)
        elif self._position < log.head:
            bundle = log.since(self._position)
            self._position = log.head
            self._write(bundle, window)
        if self._ready_due is not None:
            resumed, self._ready_due = self._ready_due, None
            self._write_message(self._encoder.ready(len(window), resumed, window.digest))
        if self._reported_stale != window.stale:
            self._reported_stale = window.stale
            self._write_message(self._encoder.state(window.stale))

    def _write_catch_up(self, catch_up: CatchUp, window: SharedWindow) -> None:
        self._catch_up = None
        try:
            bundle = catch_up.bundle(window)
        except Failed as failure:
            self._ready_due = None
            self.end(End(EndReason.FAILED, failure))
            return
        self._position = window.log.head
        if bundle is not None:
            self._write(bundle, window)

    def _write(self, bundle: Bundle, window: SharedWindow) -> None:
        data = self.encode(bundle)
        self.send_buffer.write(data)
        self._frames_written += bundle.frame_count
        window.observer.sent(bundle.frame_count, len(data))

    def _write_message(self, data: bytes) -> None:
        if data:
            self.send_buffer.write(data)

    def _bound_backlog(self, window: SharedWindow) -> None:
        """Replace a backlog over its bound by a catch-up. End a client that exceeds even that."""
        if self._catch_up is None:
            size, frames = window.log.backlog(self._position)
            if size + self.send_buffer.unsent() > self._backlog or frames > MAX_FRAMES:
                self.conflations += 1
                window.observer.conflated()
                self._catch_up = catch_up_from(self._position, window)
        if not isinstance(self._catch_up, MergeCatchUp):
            self.waits_for_room = self._catch_up is not None
        elif self._catch_up.merge(window.log) > self._backlog:
            self.end(End(EndReason.STALLED, Failed(Kind.TOO_SLOW, "read too slowly")))

    def end(self, end: End) -> None:
        """Set `ended`. The first reason stays."""
        self._leave_lockstep()
        if not self.ended.done():
            self.ended.set_result(end)

    # ------------------------------------------------------------ called by its lockstep

    def join_lockstep(self, lockstep: Lockstep) -> None:
        """Take position and frame count from the lockstep from now on."""
        self.lockstep = lockstep
        self._frames_written -= lockstep.frames
        self.send_buffer.direct_senders += (self,)

    def leave_lockstep(self) -> None:
        """Keep position and frame count alone again."""
        if self.lockstep is not None:
            self._position, self._frames_written = self.position, self.frames_written
            send_buffer = self.send_buffer
            send_buffer.written_at = self.written_at
            send_buffer.direct_senders = tuple(
                [other for other in send_buffer.direct_senders if other is not self]
            )
            self.lockstep = None

    def encode(self, bundle: Bundle) -> bytes:
        """Return groups in the client's encoding."""
        return self._encoder.frames(bundle)

    def write_remainder(self, data: bytes) -> None:
        """Write what the socket did not take of a direct send. Never raises."""
        try:
            self.send_buffer.write(data)
        except Exception:
            logger.exception("a viewer failed")
            self._end_failed()

    def stop_direct_send(self) -> None:
        """Leave the lockstep: something else is written to the socket."""
        if self.lockstep is not None:
            self.lockstep.leave(self)

    def _leave_lockstep(self) -> None:
        self.can_join_lockstep = self.waits_for_room = False
        if self.lockstep is not None:
            self.lockstep.leave(self)
