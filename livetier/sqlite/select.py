"""Select: a statement and what to bind, made once per plan."""

from collections.abc import Callable
from dataclasses import dataclass

from livetier.sqlite.compile import SqlitePlan
from livetier.sqlite.literal import SqlValue


@dataclass(frozen=True, slots=True)
class Select:
    """A statement and what to bind."""

    text: str
    params: tuple[SqlValue, ...]


def cached(make: Callable[[SqlitePlan], Select]) -> Callable[[SqlitePlan], Select]:
    """Keep what ``make`` returns for a plan in the plan."""

    def made(plan: SqlitePlan) -> Select:
        select = plan.statements.get(make.__name__)
        if select is None:
            select = plan.statements[make.__name__] = make(plan)
        assert isinstance(select, Select)  # noqa: S101 (only this function puts them there)
        return select

    return made
