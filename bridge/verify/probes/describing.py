"""Describe: does it name what is queried."""

from bridge.verify import rules
from bridge.verify.calls import CallFailedError
from bridge.verify.describe import describe
from bridge.verify.session import VerifySession


async def describing(session: VerifySession) -> None:
    """Ask Describe, which a tier may leave out."""
    ledger = session.ledger
    try:
        entities = await describe(session.client, session.times.answer)
    except CallFailedError as failed:
        if failed.end.code == "UNIMPLEMENTED":
            ledger.ok(rules.DESCRIBE, "UNIMPLEMENTED, as a tier may")
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
