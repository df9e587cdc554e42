"""Describe: does it name what is queried, and are rows as it says."""

import json
from collections.abc import Sequence

from bridge.verify import rules
from bridge.verify.calls import CallFailedError
from bridge.verify.describe import describe, row_fault, structure_fault
from bridge.verify.rows import json_fault
from bridge.verify.session import VerifySession
from livequery.v1 import livequery_pb2 as pb


async def describing(session: VerifySession) -> None:
    """Ask Describe, which a tier may leave out."""
    ledger = session.ledger
    try:
        entities = await describe(session.client, session.times.answer)
    except CallFailedError as failed:
        if failed.end.code == "UNIMPLEMENTED":
            ledger.ok(rules.DESCRIBE, "UNIMPLEMENTED, as a tier may")
            ledger.skip("the tier does not describe", rules.DESCRIBED_ROWS)
        elif failed.end.code == "DEADLINE_EXCEEDED" and await session.slow():
            ledger.not_judged("answers were slow", rules.DESCRIBE)
        else:
            ledger.find(rules.DESCRIBE, "an answer, or UNIMPLEMENTED", str(failed.end))
        return
    names = [entity.name for entity in entities]
    wanted = session.query.entity
    known = ", ".join(sorted(names)[:10]) or "no entity"
    ledger.check(rules.DESCRIBE, wanted in names, f"an entity {wanted!r}", known)
    twice = sorted({name for name in names if names.count(name) > 1})
    ledger.check(rules.DESCRIBE, not twice, "each entity once", f"{twice} more than once")
    for entity in entities:
        fault = structure_fault(entity)
        expected = f"columns of {entity.name!r}, each named once"
        ledger.check(rules.DESCRIBE, not fault, expected, fault)
    await _judge_rows(session, [entity for entity in entities if entity.name == wanted])


async def _judge_rows(session: VerifySession, described: Sequence[pb.Entity]) -> None:
    """Compare the rows of a window with what is told of their columns."""
    if not described or not described[0].columns:
        session.ledger.skip("no columns are described", rules.DESCRIBED_ROWS)
        return
    stream = await session.whole(session.query)
    try:
        if not stream.rows:
            session.ledger.skip("the window is empty", rules.DESCRIBED_ROWS)
        for row in stream.rows:
            tree = json.loads(row.json) if not json_fault(row.json) else None
            fault = row_fault(described[0], tree) if isinstance(tree, dict) else "no JSON object"
            expected = "rows of the columns described"
            session.ledger.check(rules.DESCRIBED_ROWS, not fault, expected, f"{row.id}: {fault}")
    finally:
        await session.close_stream(stream)
