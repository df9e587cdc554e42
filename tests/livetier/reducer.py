"""Changes applied to a window, as a client that splices by index would."""

from livequery.v1 import livequery_pb2 as pb

ENTER, LEAVE, MOVE, UPDATE = (
    pb.DELTA_OP_ENTER,
    pb.DELTA_OP_LEAVE,
    pb.DELTA_OP_MOVE,
    pb.DELTA_OP_UPDATE,
)


def splice(changes, old, limit):
    """Apply changes literally; every index is checked."""
    window = list(old)
    for change in changes:
        if change.op in (LEAVE, MOVE, UPDATE):
            assert window[change.old_index].key == change.key
        if change.op in (LEAVE, MOVE):
            del window[change.old_index]
        if change.op in (ENTER, MOVE):
            assert 0 <= change.new_index <= len(window)
            window.insert(change.new_index, change.row)
        if change.op == UPDATE:
            assert change.old_index == change.new_index
            window[change.new_index] = change.row
        assert len(window) <= limit + 1
        assert len({each.key for each in window}) == len(window)
        assert change.row is None or change.row.key == change.key
    return tuple(window)
