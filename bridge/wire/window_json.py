"""A window over plain HTTP: the bodies of its two answers (docs/wire.md §8).

The rows of one version of a window are printed once, however many ask: `window_rows` is an
encoding of its snapshot.
"""

from collections.abc import Iterable

from bridge.core.bundle import Bundle
from bridge.core.frame import Frame
from bridge.core.op import Op


def window_rows(snapshot: Bundle) -> bytes:
    """Encode the rows of a snapshot, which is a reset and one enter per row."""
    return b",".join([_row(frame) for frame in snapshot if frame.op == Op.ENTER])


def _row(frame: Frame) -> bytes:
    """Print a row: the members of a FRAME that are the row's own."""
    return b"{%b}" % b"".join((frame.body, b',"cursor":', frame.cursor))[1:]


def whole_window(snapshot: Bundle, *, digest: str | None, stale: bool) -> bytes:
    """Print a whole window. `digest` is None where the window has none."""
    rows = snapshot.encoded(window_rows)
    return b'{"rows":[%b],%b}' % (rows, _state(snapshot.position, digest, stale=stale))


def window_changes(
    frames: Iterable[Frame], *, position: str, digest: str | None, stale: bool, resumed: str
) -> bytes:
    """Print the frames that lead from what a client had to the window at `position`."""
    return b'{"frames":[%b],%b,"resumed":"%b"}' % (
        b",".join([frame.data for frame in frames]),
        _state(position, digest, stale=stale),
        resumed.encode(),
    )


def _state(position: str, digest: str | None, *, stale: bool) -> bytes:
    sum_ = b"" if digest is None else b',"digest":"%b"' % digest.encode()
    return b'"pos":"%b"%b,"stale":%b' % (position.encode(), sum_, b"true" if stale else b"false")
