"""The original engine's recorded runs, change by change, through the SQLite reader."""

import json
from pathlib import Path

import pytest

from livequery.v1 import livequery_pb2 as pb
from livetier.engine.delta import GroupEncoder
from livetier.engine.shortcuts import Shortcuts
from livetier.sqlite.compile import compile_query
from livetier.sqlite.database import Database
from livetier.sqlite.reader import first, read
from tier_client import OPS, leaf, op, query

TRACES = Path(__file__).parent.parent / "vectors" / "engine_traces.jsonl"


def recorded():
    traces = {}
    for line in TRACES.read_text(encoding="utf-8").splitlines():
        step = json.loads(line)
        traces.setdefault(step["trace"], []).append(step)
    return traces


def condition(recorded_condition):
    members = recorded_condition["Or"]
    if members:
        group = pb.OrGroup(conditions=[condition(member) for member in members])
        return pb.Condition(or_group=group)
    names = ("Column", "Op", "Value")
    assert recorded_condition["Op"] in OPS
    return leaf(*(recorded_condition[name] for name in names))


def seeds(steps):
    """Return the rows that were there before the first change, as far as they ever showed."""
    found, changed = {}, set()
    for step in steps:
        for delta in step.get("deltas", ()):
            if delta["op"] != "reset" and delta["agg_id"] not in changed and "row" in delta:
                found.setdefault(delta["agg_id"], delta["row"])
        if "change" in step:
            changed.add(step["change"]["agg_id"])
    # A row first shown by its own change was made, or was hidden, before it.
    for step in steps:
        if "change" in step:
            change = step["change"]
            if found.get(change["agg_id"]) == change.get("row"):
                found.pop(change["agg_id"], None)
    return found


def put(connection, row):
    connection.execute("REPLACE INTO asset VALUES (:id, :kind, :name, :note, :status, :temp)", row)


def plain(delta):
    """Return what a recorded delta and one of ours must agree on."""
    if isinstance(delta, pb.LiveDelta):
        row = json.loads(delta.row) if delta.row else None
        return (op(delta), delta.agg_id, delta.old_index, delta.new_index, row)
    return (delta["op"], delta["agg_id"], delta["old_index"], delta["new_index"], delta.get("row"))


# In the other runs the engine forgets rows behind its short cushion and promotes wrong ones.
@pytest.mark.parametrize("shortcuts", [True, False])
@pytest.mark.parametrize("trace", ["big_cushion_never_short", "two_keys_limit4"])
def test_each_change_gives_the_engines_group_and_the_leave_that_it_forgets(
    tmp_path, trace, shortcuts
):
    shortcuts = Shortcuts(on=shortcuts)
    config, *steps = recorded()[trace]
    asked = config["query"]
    database = Database(tmp_path / "asset.sqlite")
    database.connection.execute(
        "CREATE TABLE asset (id TEXT PRIMARY KEY, kind, name, note, status, temp)"
    )
    for row in seeds(steps).values():
        put(database.connection, row)
    live_query = query(
        "asset",
        *[condition(each) for each in asked["Where"]],
        sort=[("-" if key["Desc"] else "") + key["Column"] for key in asked["Sort"]],
        limit=asked["Limit"],
    )
    view = first(database.connection, compile_query(database, live_query), shortcuts)
    groups = 0
    for step in steps:
        if step["kind"] == "snapshot":
            assert [row.id for row in view.rows] == [d["agg_id"] for d in step["deltas"][1:]]
            continue
        change = step["change"]
        if change["deleted"]:
            database.connection.execute("DELETE FROM asset WHERE id = ?", (change["agg_id"],))
        else:
            put(database.connection, change["row"])
        reading = read(database, [view], shortcuts)
        ours = []
        for taken in reading.steps:  # none when what was to be deleted was not there
            view = taken.after
            ours = [plain(delta) for delta in GroupEncoder(reading.position).group(taken.changes)]
        theirs = [plain(delta) for delta in step["deltas"]]
        if ours != theirs:
            assert ours[:-1] == theirs, step["step"]
            assert ours[-1][:1] + ours[-1][2:4] == ("leave", asked["Limit"], -1)
        groups += bool(ours)
    assert groups > 20
    database.close()
