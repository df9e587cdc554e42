"""The recorded engine traces as batches."""

import json
from itertools import groupby
from pathlib import Path

from bridge.core.batch import Batch
from bridge.core.frame_encoding import encode
from bridge.core.op import Op

_PATH = Path(__file__).parent.parent / "vectors" / "engine_traces.jsonl"
_STEPS = [json.loads(line) for line in _PATH.read_text(encoding="utf-8").split("\n") if line]
TRACES = {trace: list(steps) for trace, steps in groupby(_STEPS, key=lambda step: step["trace"])}


def trace_batch(deltas):
    """Make the batch that carried these deltas."""
    made = tuple(map(_delta, deltas))
    return Batch(made, snapshot_complete=made[0].op == Op.RESET)


def _delta(said):
    values = said["cursor"]["values"]
    row = {**said["row"], "v": said.get("version", 0)} if "row" in said else None
    return encode(
        op=Op[said["op"].upper()],
        agg_id=said.get("agg_id", ""),
        version=said.get("version", 0),
        row=json.dumps(row).encode() if row else b"",
        old_index=said["old_index"],
        new_index=said["new_index"],
        cursor=None if values is None else tuple(values),
        stream_id=said.get("stream_id", ""),
    )
