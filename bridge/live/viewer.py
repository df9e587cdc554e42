"""Viewer: one client's view of a subscription, at the client's own pace.

Laws: a viewer is written whole groups only, in order; its position in the subscription's log says
what it has been written; beyond its bound it holds no backlog but the window it last saw, and
gets one diff when its socket drains (streamed: the last frame of each id). Nothing here awaits.
"""

import asyncio
import logging
from typing import TYPE_CHECKING

from bridge.core.bundle import Bundle, SharedEncoding
from bridge.core.diff import diff
from bridge.core.errors import Failed, Kind
from bridge.core.frame import Frame
from bridge.core.group import Group
from bridge.core.log import Log
from bridge.core.op import Op
from bridge.core.window import Rows

from .encoder import Encoder
from .resume import Resume
from .send_buffer import SendBuffer
from .stream_end import End, EndReason

if TYPE_CHECKING:
    from .lockstep import Lockstep
    from .subscription import Subscription

logger = logging.getLogger(__name__)

MAX_FRAMES = 1024


class Viewer:
    """One client's view. Subscription and hub call; the web floor waits for `ended`."""

    __slots__ = (
        "_backlog",
        "_encoder",
        "_frames_written",
        "_merged",
        "_position",
        "_ready",
        "_restart",
        "_resume",
        "_seen",
        "_stale",
        "begun",
        "ended",
        "lockstep",
        "parked",
        "send_buffer",
        "steady",
        "subscription",
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
        self.subscription: Subscription | None = None
        self.lockstep: Lockstep | None = None
        """In step with whom; None where it flushes alone."""
        self.steady = False
        """Whether it is due nothing but the groups that follow its position."""
        self.parked = False
        """Whether it is due nothing until its socket has room."""
        self.begun = False
        """Whether it was shown anything yet."""
        self._position = 0  # these two while it flushes alone
        self._frames_written = 0
        self._encoder = encoder
        self._backlog = backlog or 2**63
        self._resume = resume
        # At most one of these is set, while the position means nothing: a whole snapshot is
        # due; or a diff from the window last seen; or, streamed, the last frame of each id.
        self._restart = False
        self._seen: Rows | None = None
        self._merged: dict[str, Frame] | None = None
        self._ready: str | None = None  # how, when `ready` is due
        self._stale: str | None = None  # what was told

    @property
    def position(self) -> int:
        """What it has been written, in its subscription's log."""
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
        """How groups are printed for it from here on; None: in a form of its own."""
        return self._encoder.shared

    @property
    def up_to_date(self) -> bool:
        """Whether everything there is has been written."""
        subscription = self.subscription
        return (
            subscription is not None
            and not self._behind
            and self._ready is None
            and self.position == subscription.log.head
        )

    @property
    def oldest_needed(self) -> int:
        """The position after which the log must be kept for this viewer."""
        free = self._behind or not self.begun or self.ended.done()
        return 2**63 if free else self.position

    @property
    def _behind(self) -> bool:
        return self._restart or self._seen is not None or self._merged is not None

    def digest(self) -> str | None:
        """Return the digest of the window; None where it has none (streamed, or not attached)."""
        return None if self.subscription is None else self.subscription.digest()

    # ------------------------------------------------------------ the subscription's calls

    def begin(self) -> None:
        """Show the window: whole, or what a returning or moved client lacks of it."""
        if not self.begun:
            self.begun = True
            self._ready = self._begin_at()
        self.flush()

    def _begin_at(self) -> str:
        resume, self._resume = self._resume, None
        subscription = self.subscription
        if resume is not None and subscription is not None:
            log = subscription.log
            position = (
                log.parse_position(resume.pos) if resume.pos else log.find_group(resume.stream_id)
            )
            if position is not None:
                self._position = position
                return "replay"
            if resume.known is not None and not subscription.query.streamed:
                self._seen = resume.known
                return "diff"
        self._restart = True
        return "snapshot"

    def move(self, log: Log) -> None:
        """Take leave of a log: what follows is another window, of which this says how to tell."""
        self._leave_lockstep()
        if not self.begun or self.ended.done():
            return
        subscription = self.subscription
        if self._encoder.resets or subscription is None or subscription.query.streamed:
            self._restart, self._seen, self._merged = True, None, None
            self._ready = "snapshot"
        elif not self._restart:
            if self._seen is None:
                self._seen = log.rows_at(self._position)
            self._ready = "diff"

    def flush(self) -> None:
        """Write what the log holds beyond this viewer's position, or fall behind.

        Never raises: a connection that breaks is its own client's trouble and nobody else's.
        """
        self._leave_lockstep()
        subscription = self.subscription
        if subscription is None or not self.begun or self.ended.done():
            return
        try:
            if self.send_buffer.has_room:
                self._flush(subscription)
            else:
                self.send_buffer.flush_when_room(self)
                self._bound(subscription)
                self.parked = self._seen is not None or self._restart
        except Exception:
            logger.exception("a viewer broke")
            self._break()
        else:
            due = self._behind or self._ready is not None or self._stale is not None
            self.steady = not due and not self.ended.done()

    def _break(self) -> None:
        self.end(End(EndReason.FAILED, Failed(Kind.BROKEN, "the bridge failed")))

    def _flush(self, subscription: "Subscription") -> None:
        log = subscription.log
        if self._behind:
            self._catch_up(subscription)
        elif self._position < log.head:
            bundle = log.since(self._position)
            self._position = log.head
            self._write(bundle, subscription)
        if self._ready is not None:
            resumed, self._ready = self._ready, None
            self._say(self._encoder.ready(len(subscription), resumed, subscription.digest))
        if self._stale != subscription.stale:
            self._stale = subscription.stale
            self._say(self._encoder.state(self._stale))

    def end(self, end: End) -> None:
        """Tell the web floor that the stream is over; the first reason stays."""
        self._leave_lockstep()
        if not self.ended.done():
            self.ended.set_result(end)

    # ------------------------------------------------------------ in step with others

    def join_lockstep(self, lockstep: "Lockstep") -> None:
        """Count with others from now on."""
        self.lockstep = lockstep
        self._frames_written -= lockstep.frames
        self.send_buffer.direct_senders += (self,)

    def leave_lockstep(self) -> None:
        """Count alone again."""
        if self.lockstep is not None:
            self._position, self._frames_written = self.position, self.frames_written
            send_buffer = self.send_buffer
            send_buffer.written_at = self.written_at
            send_buffer.direct_senders = tuple(
                [other for other in send_buffer.direct_senders if other is not self]
            )
            self.lockstep = None

    def stop_direct_send(self) -> None:
        """Flush alone, as long as its socket is not empty: something else is written to it."""
        if self.lockstep is not None:
            self.lockstep.leave(self)

    def encode(self, bundle: Bundle) -> bytes:
        """Print groups as its client is told them."""
        return self._encoder.frames(bundle)

    def rest(self, data: bytes) -> None:
        """Write what the socket did not take at once. Never raises."""
        try:
            self.send_buffer.write(data)
        except Exception:
            logger.exception("a viewer broke")
            self._break()

    def _leave_lockstep(self) -> None:
        self.steady = self.parked = False
        if self.lockstep is not None:
            self.lockstep.leave(self)

    # ------------------------------------------------------------ falling behind

    def _bound(self, subscription: "Subscription") -> None:
        """Give the backlog up for the window last seen, once it is over the bound."""
        if self._merged is not None:
            self._merge(subscription, self._merged)
            self._judge(self._merged)
        if self._behind:
            return
        size, frames = subscription.log.backlog(self._position)
        if size + self.send_buffer.unsent() > self._backlog or frames > MAX_FRAMES:
            subscription.observer.conflated()
            if subscription.query.streamed:
                self._merged = {}
                self._merge(subscription, self._merged)
                self._judge(self._merged)
            else:
                self._seen = subscription.log.rows_at(self._position)

    def _merge(self, subscription: "Subscription", merged: dict[str, Frame]) -> None:
        """Keep the last frame of each id, and of what came before a reset nothing."""
        for group in subscription.log.since(self._position).groups:
            for frame in group.frames:
                if frame.op == Op.RESET:
                    merged.clear()
                merged.pop(frame.agg_id, None)
                merged[frame.agg_id] = frame
        self._position = subscription.log.head

    def _judge(self, merged: dict[str, Frame]) -> None:
        """End a client that is over its bound even so: it is too slow."""
        if sum(len(frame.data) for frame in merged.values()) > self._backlog:
            self.end(End(EndReason.STALLED, Failed(Kind.TOO_SLOW, "read too slowly")))

    def _catch_up(self, subscription: "Subscription") -> None:
        """Go from the window last seen, or from none, to the present one."""
        seen, merged, restart = self._seen, self._merged, self._restart
        self._restart, self._seen, self._merged = False, None, None
        if merged is not None:
            self._merge(subscription, merged)
            frames = list(merged.values())
        elif restart and not subscription.shareable:
            # The set has outgrown its mirror since this viewer came for it.
            failure = Failed(Kind.UNAVAILABLE, "the set has grown too large to be shown anew")
            self.end(End(EndReason.FAILED, failure))
            self._ready = None
            return
        elif restart:
            self._write(subscription.snapshot(), subscription)
            frames = []
        else:
            frames = diff(seen or (), subscription.rows())
        log = subscription.log
        self._position = log.head
        if frames:
            self._write(log.bundle([Group(tuple(frames))]), subscription)

    def _write(self, bundle: Bundle, subscription: "Subscription") -> None:
        data = self.encode(bundle)
        self.send_buffer.write(data)
        self._frames_written += bundle.frame_count
        subscription.observer.sent(bundle.frame_count, len(data))

    def _say(self, data: bytes) -> None:
        if data:
            self.send_buffer.write(data)
