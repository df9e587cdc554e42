"""Shortcuts: readings that a store saves because a window can't have changed, or how is known.

Each is conservative: where it is taken, a reading would find the same. All can be switched off,
which tests do to compare.
"""

from collections import Counter
from collections.abc import Collection, Hashable, Mapping

Conditions = Mapping[str, Collection[Hashable]]
"""By column, the values of which a matching row has one."""


class Shortcuts:
    """Whether they are taken, and how often each was.

    ``taken`` counts windows that were not read, by the reason: ``gone`` (the row was not shown and
    is deleted), ``unequal`` (it was not shown and fails an equality condition), ``outside`` (it was
    not shown and lies outside a range), ``beyond`` (it was not shown and sorts after all that is),
    ``merged`` (the new window follows from the changed rows alone), ``shared`` (it is the beginning
    of another one that was read). ``read`` counts windows that were read.
    """

    def __init__(self, *, on: bool = True) -> None:
        self.on = on
        self.taken: Counter[str] = Counter()
        self.read = 0


def may_match(conditions: Conditions, row: Mapping[str, Hashable]) -> bool:
    """Return False if ``row`` certainly fails one of ``conditions``, all of which must hold.

    A column that ``row`` lacks has an unknown value, which may match.
    """
    return all(row[column] in values for column, values in conditions.items() if column in row)
