"""Rank: viewers in step, who are told the same at the same moment.

They stand at one place in their subscription's log, and are due nothing but what is added to it;
nothing is unsent on their sockets, and none has ended (see `send_buffer`). Such a viewer costs one
send to its socket: what there is to count is counted once for all of them, and each is looked at
again only when it leaves.
"""

from typing import TypeAlias

from bridge.core.bundle import Bundle, SharedEncoding

from .send_buffer import DirectSend, SendBuffer
from .viewer import Viewer

_Sent: TypeAlias = tuple[list[Viewer], list[tuple[Viewer, bytes]], int]
"""Who takes nothing, what rest of it who did not take, and how many bytes there were in all."""


class Lockstep:
    """Those who are told in `shared`, or each in a form of its own (None)."""

    __slots__ = ("_loose", "_wires", "frames", "position", "shared", "viewers", "written_at")

    def __init__(
        self, shared: SharedEncoding | None, position: int, loose: dict[Viewer, None]
    ) -> None:
        self.shared = shared
        self.position = position
        """Where all of them stand."""
        self.frames = 0
        """How many frames they were told."""
        self.written_at = 0.0
        """When they were last written to."""
        self._loose = loose
        self.viewers: dict[Viewer, DirectSend] = {}
        """Who they are, and the short way to their sockets."""
        self._wires: list[DirectSend] | None = None  # alone, for the pass; None: to be listed anew

    def join(self, viewer: Viewer, wire: DirectSend) -> None:
        """Take in a viewer that stands here."""
        del self._loose[viewer]
        self.viewers[viewer] = wire
        self._wires = None
        viewer.join_lockstep(self)

    def leave(self, viewer: Viewer) -> None:
        """Let a viewer flush alone from now on."""
        del self.viewers[viewer]
        self._wires = None
        self._loose[viewer] = None
        viewer.leave_lockstep()

    def disband(self) -> None:
        """Let everybody flush alone."""
        for viewer in tuple(self.viewers):
            self.leave(viewer)

    def take(self, bundle: Bundle, head: int, now: float) -> tuple[int, int]:
        """Go on to `head` by what is in a bundle; returns frames and bytes written.

        Whose socket takes nothing falls out where it stood.
        """
        shared = self.shared
        if shared is not None and not shared.applies_to(bundle):
            self.disband()
            self.position = head
            return 0, 0
        if shared is None:
            late, short, total = self._encode_each(bundle)
        else:
            late, short, total = self._send(shared.encode(bundle))
        for viewer in late:
            self.leave(viewer)
        self.position = head
        self.frames += bundle.frame_count
        self.written_at = now
        frames = bundle.frame_count * len(self.viewers)
        for viewer, rest in short:
            viewer.rest(rest)
        return frames, total

    def _send(self, data: bytes) -> _Sent:
        """Send the same to everybody."""
        # Thousands of viewers do not stay in a processor's cache: only the wires are touched.
        if self._wires is None:
            self._wires = list(self.viewers.values())
        late, short, size = [], [], len(data)
        for wire in self._wires:
            try:
                sent = wire.send(data)
            except Exception:  # noqa: BLE001 - tries again alone, and is told there
                late.append(wire)
                continue
            if sent != size:
                short.append((wire, data[sent:]))
        total = size * (len(self._wires) - len(late))
        if not late and not short:
            return [], [], total
        of = {wire: viewer for viewer, wire in self.viewers.items()}
        return [of[wire] for wire in late], [(of[wire], rest) for wire, rest in short], total

    def _encode_each(self, bundle: Bundle) -> _Sent:
        """Send to each in a form of its own. Several may be on one socket, in this order."""
        late, short, total = [], [], 0
        full = set[SendBuffer]()
        for viewer, wire in self.viewers.items():
            if full and viewer.send_buffer in full:
                late.append(viewer)
                continue
            try:
                data = viewer.encode(bundle)
                sent = wire.send(data)
            except Exception:  # noqa: BLE001 - tries again alone, and is told there
                late.append(viewer)
                full.add(viewer.send_buffer)
                continue
            total += len(data)
            if sent != len(data):
                short.append((viewer, data[sent:]))
                full.add(viewer.send_buffer)
        return late, short, total
