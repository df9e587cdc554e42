"""Lockstep: viewers at the same position, served by one broadcast.

Invariants: all members are at `position` in their window's log; nothing is due to them but what is
appended to it; nothing is unsent on their sockets, and none has ended (see `send_buffer`).

A member costs one send to its socket per broadcast. What is counted is counted once for all of
them. A member is touched again only when it leaves.
"""

from typing import Protocol, TypeAlias

from bridge.core.bundle import Bundle, SharedEncoding

from .send_buffer import DirectSend, SendBuffer


class Member(Protocol):
    """A viewer, as lockstep and fan-out see it. Compared by identity."""

    send_buffer: SendBuffer
    can_join_lockstep: bool
    waits_for_room: bool

    @property
    def lockstep(self) -> "Lockstep | None":
        """The lockstep it is in, None while it flushes alone."""

    @property
    def position(self) -> int:
        """The position in the window's log up to which it was written."""

    @property
    def oldest_needed(self) -> int:
        """The position after which this viewer needs the log."""

    @property
    def shared(self) -> SharedEncoding | None:
        """The encoding of groups from here on. None: its bytes are shared with no other viewer."""

    def flush(self) -> None:
        """Write what is due. Never raises."""

    def join_lockstep(self, lockstep: "Lockstep") -> None:
        """Take position and frame count from the lockstep from now on."""

    def leave_lockstep(self) -> None:
        """Keep position and frame count alone again."""

    def encode(self, bundle: Bundle) -> bytes:
        """Return groups in the client's encoding."""

    def write_remainder(self, data: bytes) -> None:
        """Write what the socket did not take of a direct send. Never raises."""


_Sent: TypeAlias = tuple[list[Member], list[tuple[Member, bytes]], int]
"""Members whose socket takes nothing; those it took a part for, with the rest; bytes in all."""


class Lockstep:
    """Viewers of one shared encoding, or (None) of an encoding of their own each.

    `solo` are the viewers that flush alone. A viewer that leaves is put there.
    """

    __slots__ = ("_direct_sends", "_solo", "frames", "members", "position", "shared", "written_at")

    def __init__(
        self, shared: SharedEncoding | None, position: int, solo: dict[Member, None]
    ) -> None:
        self.shared = shared
        self.position = position
        """Where all members are, in their window's log."""
        self.frames = 0
        """Frames broadcast so far."""
        self.written_at = 0.0
        """When the last broadcast was."""
        self._solo = solo
        self.members: dict[Member, DirectSend] = {}
        # The values of `members`; None when they must be listed again.
        self._direct_sends: list[DirectSend] | None = None

    def join(self, viewer: Member, direct_send: DirectSend) -> None:
        """Add a viewer that is at this position."""
        del self._solo[viewer]
        self.members[viewer] = direct_send
        self._direct_sends = None
        viewer.join_lockstep(self)

    def leave(self, viewer: Member) -> None:
        """Have a viewer flush alone from now on."""
        del self.members[viewer]
        self._direct_sends = None
        self._solo[viewer] = None
        viewer.leave_lockstep()

    def dissolve(self) -> None:
        """Have all members flush alone."""
        for viewer in tuple(self.members):
            self.leave(viewer)

    def broadcast(self, bundle: Bundle, head: int, now: float) -> tuple[int, int]:
        """Send a bundle that leads to `head`. Return frames and bytes written.

        A member whose socket takes nothing leaves, at the position before.
        """
        shared = self.shared
        if shared is not None and not shared.applies_to(bundle):
            self.dissolve()
            self.position = head
            return 0, 0
        if shared is None:
            blocked, partial, total = self._send_each(bundle)
        else:
            blocked, partial, total = self._send_shared(shared.encode(bundle))
        for viewer in blocked:
            self.leave(viewer)
        self.position = head
        self.frames += bundle.frame_count
        self.written_at = now
        frames = bundle.frame_count * len(self.members)
        for viewer, rest in partial:
            viewer.write_remainder(rest)
        return frames, total

    def _send_shared(self, data: bytes) -> _Sent:
        """Send the same bytes to all members."""
        # Thousands of viewers do not fit a processor's cache: touch only their direct sends.
        if self._direct_sends is None:
            self._direct_sends = list(self.members.values())
        blocked, partial, size = [], [], len(data)
        for direct_send in self._direct_sends:
            try:
                sent = direct_send.send(data)
            except Exception:  # noqa: BLE001 - its viewer tries again alone, and fails there
                blocked.append(direct_send)
                continue
            if sent != size:
                partial.append((direct_send, data[sent:]))
        total = size * (len(self._direct_sends) - len(blocked))
        if not blocked and not partial:
            return [], [], total
        of = {direct_send: viewer for viewer, direct_send in self.members.items()}
        return [of[one] for one in blocked], [(of[one], rest) for one, rest in partial], total

    def _send_each(self, bundle: Bundle) -> _Sent:
        """Send to each member in its own encoding.

        Several members may share a socket. After one that was not sent all of its bytes, the
        others on that socket must not send.
        """
        blocked, partial, total = [], [], 0
        full = set[SendBuffer]()
        for viewer, direct_send in self.members.items():
            if full and viewer.send_buffer in full:
                blocked.append(viewer)
                continue
            try:
                data = viewer.encode(bundle)
                sent = direct_send.send(data)
            except Exception:  # noqa: BLE001 - the viewer tries again alone, and fails there
                blocked.append(viewer)
                full.add(viewer.send_buffer)
                continue
            total += len(data)
            if sent != len(data):
                partial.append((viewer, data[sent:]))
                full.add(viewer.send_buffer)
        return blocked, partial, total
