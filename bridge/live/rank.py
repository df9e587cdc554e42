"""Rank: viewers in step, who are told the same at the same moment.

They stand at one place in their subscription's log, and are due nothing but what is added to it;
nothing is unsent on their sockets, and none has ended (see `outlet`). Such a viewer costs one send
to its socket: what there is to count is counted once for all of them, and each is looked at again
only when it falls out.
"""

from typing import TypeAlias

from bridge.core.bundle import Bundle, Shared

from .outlet import Outlet, Wire
from .viewer import Viewer

_Sent: TypeAlias = tuple[list[Viewer], list[tuple[Viewer, bytes]], int]
"""Who takes nothing, what rest of it who did not take, and how many bytes there were in all."""


class Rank:
    """Those who are told in `shared`, or each in a form of its own (None)."""

    __slots__ = ("_loose", "_wires", "frames", "position", "shared", "viewers", "written_at")

    def __init__(self, shared: Shared | None, position: int, loose: dict[Viewer, None]) -> None:
        self.shared = shared
        self.position = position
        """Where all of them stand."""
        self.frames = 0
        """How many frames they were told."""
        self.written_at = 0.0
        """When they were last written to."""
        self._loose = loose
        self.viewers: dict[Viewer, Wire] = {}
        """Who they are, and the short way to their sockets."""
        self._wires: list[Wire] | None = None  # alone, for the pass; None: to be listed anew

    def join(self, viewer: Viewer, wire: Wire) -> None:
        """Take in a viewer that stands here."""
        del self._loose[viewer]
        self.viewers[viewer] = wire
        self._wires = None
        viewer.fall_in(self)

    def leave(self, viewer: Viewer) -> None:
        """Let a viewer flush alone from now on."""
        del self.viewers[viewer]
        self._wires = None
        self._loose[viewer] = None
        viewer.fall_out()

    def disband(self) -> None:
        """Let everybody flush alone."""
        for viewer in tuple(self.viewers):
            self.leave(viewer)

    def take(self, bundle: Bundle, head: int, now: float) -> tuple[int, int]:
        """Go on to `head` by what is in a bundle; returns frames and bytes written.

        Whose socket takes nothing falls out where it stood.
        """
        shared = self.shared
        if shared is not None and not shared.takes(bundle):
            self.disband()
            self.position = head
            return 0, 0
        if shared is None:
            late, short, total = self._print(bundle)
        else:
            late, short, total = self._send(shared.print(bundle))
        for viewer in late:
            self.leave(viewer)
        self.position = head
        self.frames += bundle.frames
        self.written_at = now
        frames = bundle.frames * len(self.viewers)
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

    def _print(self, bundle: Bundle) -> _Sent:
        """Send to each in a form of its own. Several may be on one socket, in this order."""
        late, short, total = [], [], 0
        full = set[Outlet]()
        for viewer, wire in self.viewers.items():
            if full and viewer.outlet in full:
                late.append(viewer)
                continue
            try:
                data = viewer.print(bundle)
                sent = wire.send(data)
            except Exception:  # noqa: BLE001 - tries again alone, and is told there
                late.append(viewer)
                full.add(viewer.outlet)
                continue
            total += len(data)
            if sent != len(data):
                short.append((viewer, data[sent:]))
                full.add(viewer.outlet)
        return late, short, total
