"""The grammar of `--entities`: NAME=ROWS, for everybody or for callers with a claim."""

import re
from typing import Final

from bridge.core.query_rules import EntityRule

_ENTRY: Final = re.compile(r"(?:([^=:,\s]+)=([^,]+):)?([^=:,\s]+)(?:=(\d{1,9}))?")


def entity_rules(text: str) -> tuple[EntityRule, ...]:
    """Parse entries, separated by commas; there may be none.

    An entry is `NAME=ROWS` or `NAME`; `*` is every entity without an entry. `CLAIM=VALUE:` before
    it is for callers whose credential has that claim.
    """
    rules: list[EntityRule] = []
    for entry in filter(None, (entry.strip() for entry in text.split(","))):
        match = _ENTRY.fullmatch(entry)
        if match is None:
            raise ValueError(
                f"{entry!r} is no entry: NAME=ROWS or CLAIM=VALUE:NAME=ROWS, as in orders=100"
            )
        claim = (match[1], match[2]) if match[1] else None
        if any(rule.entity == match[3] and rule.claim == claim for rule in rules):
            raise ValueError(f"{entry!r}: {match[3]} is listed twice")
        rules.append(EntityRule(match[3], int(match[4] or 0), claim))
    return tuple(rules)
