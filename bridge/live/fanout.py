"""Fan-out: one pass over a subscription's viewers, without an await.

Nearly all of them, nearly always, stand where the last pass left them, with room in their sockets
and nothing due but what was added since. They get it here in as few steps as there are; whoever
stands elsewhere, lags, or is due more, flushes itself.
"""

from collections.abc import Iterable

from bridge.core.bundle import Form
from bridge.core.log import Log

from .observer import Observer
from .outlet import ROOM, Outlet
from .viewer import Viewer


def fan_out(viewers: Iterable[Viewer], log: Log, before: int, observer: Observer) -> None:
    """Take to every viewer what the log holds beyond the position `before`, where they stand."""
    bundle, head = log.since(before), log.head
    frames, named = bundle.frames, bundle.named
    known: dict[Form | None, bytes] = {}
    written: list[Outlet] = []
    size, now = 0, 0.0
    for viewer in viewers:
        outlet = viewer.outlet
        # Called by a name of their own: attributes that are called are slow to look up (3.11).
        unsent, put = outlet.unsent, outlet.put
        if not viewer.steady or viewer.position != before or unsent() > ROOM:
            viewer.flush()
            continue
        try:
            data = known.get(viewer.shared)
            if data is None:
                data = viewer.print(bundle)
                if named and viewer.shared is not None:
                    known[viewer.shared] = data
            put(data)
        except Exception:  # noqa: BLE001 - tries again, and is told there
            viewer.flush()
            continue
        viewer.position = head
        viewer.told += frames
        now = now or outlet.watch.now()
        outlet.written_at = now
        outlet.written += len(data)
        size += len(data)
        written.append(outlet)
    if written:
        written[0].watch.touch_all(written)
        observer.sent(frames * len(written), size)
