"""What a committed transaction changed, as far as a capture knows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from livetier.postgres.pgoutput import RowChange, Text

Key: TypeAlias = tuple[Text, ...]
"""The values of a row's primary key, in its order, as PostgreSQL prints them."""

MOST_CHANGES = 20_000
"""Changes of one relation that a transaction lists; beyond it any row may have changed."""


@dataclass(slots=True)
class TupleChange:
    """A change of one row: values by column before and after. Absent columns are not known.

    ``old`` is None for a row that is new, ``new`` for one that is gone.
    """

    old: Mapping[str, Text] | None
    new: Mapping[str, Text] | None

    @classmethod
    def of(cls, message: RowChange) -> "TupleChange":
        """Return the change that the stream reports."""
        old, new = message.old, message.new
        if message.kind == "U" and new is not None:
            relation = message.relation
            if old is None:
                # The columns of the replica identity are as they were.
                old = {name: new[name] for name in relation.identity if name in new}
            if len(new) < len(relation.columns):
                # Values stored apart were not changed.
                new = {**{name: old[name] for name in old if name not in new}, **new}
        return cls(old, new)


def key_of(row: Mapping[str, Text], columns: Sequence[str]) -> Key | None:
    """Return the key that ``row`` has in ``columns``; None if that is not known."""
    try:
        return tuple([row[name] for name in columns])
    except KeyError:
        return None


@dataclass(slots=True, eq=False)
class Transaction:
    """A transaction: its id, and its changes by the relation's oid.

    ``xid`` has 32 bits until the ledger has it, unless it is ``wide`` already. Where a relation has
    None instead of changes, any row of it may have changed. ``everything``: any row of any relation
    may have.
    """

    xid: int
    changes: dict[int, list[TupleChange] | None] = field(default_factory=dict)
    everything: bool = False
    wide: bool = False
    committed_ms: int = 0

    def add(self, relation: int, change: TupleChange) -> None:
        """Add a change of one row."""
        listed = self.changes.setdefault(relation, [])
        if listed is None:
            return
        if len(listed) >= MOST_CHANGES:
            self.changes[relation] = None
        else:
            listed.append(change)

    def add_all(self, relation: int) -> None:
        """Say that any row of ``relation`` may have changed."""
        self.changes[relation] = None
