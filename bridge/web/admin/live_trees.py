"""LiveTrees: JSON trees as a live window: a reset and enters, then what leads to the present.

The window is of the inspector's own making. It is read at an interval while somebody looks.
"""

import json
from collections.abc import Iterable
from typing import Any

from bridge.core.diff import diff
from bridge.core.frame import Frame
from bridge.core.frame_encoding import RESET, encode
from bridge.core.op import Op


class LiveTrees:
    """Trees by id, in order. `changes` makes the frames that lead to newer ones."""

    def __init__(self) -> None:
        self._rows: tuple[Frame, ...] = ()
        self._begun = False

    def changes(self, trees: Iterable[tuple[str, dict[str, Any]]]) -> list[Frame]:
        """Return the frames that lead from the trees before to these, the first time from none."""
        before = {row.agg_id: row for row in self._rows}
        rows = []
        for index, (agg_id, tree) in enumerate(trees):
            text = json.dumps(tree, ensure_ascii=False, separators=(",", ":")).encode()
            known = before.get(agg_id)
            version = 1 if known is None else known.version
            row = encode(Op.ENTER, agg_id, version, text, -1, index, (agg_id,))
            if known is not None and known.row != row.row:
                row = encode(Op.ENTER, agg_id, version + 1, text, -1, index, (agg_id,))
            rows.append(row)
        frames = diff(self._rows, rows) if self._begun else [RESET, *rows]
        self._begun, self._rows = True, tuple(rows)
        return frames
