"""Rows as a query sees them, read by SELECTs of one transaction.

A row that several windows show is encoded once.
"""

import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence

from livetier.engine.merge import Known
from livetier.engine.value import Scalar, encode_row
from livetier.engine.window import Row
from livetier.sqlite import sql
from livetier.sqlite.compile import SqlitePlan
from livetier.sqlite.literal import SqlValue
from livetier.sqlite.select import Select


class Fetcher:
    """Runs SELECTs. ``Row.order`` differs from plan to plan; the JSON of a row does not."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._encoded: dict[tuple[str, SqlValue, int], bytes] = {}

    def known(self, plan: SqlitePlan, before: Iterable[Row], *, reserve: int) -> Known:
        """Return the rows of the plan's window, and at most ``reserve`` rows after it.

        A row that ``before`` contains in the same version is not made again.
        """
        most = plan.query.limit + reserve
        began = time.perf_counter()
        rows = self._rows(plan, sql.window(plan, most), before)
        plan.cost.read_seconds = time.perf_counter() - began
        return Known(tuple(rows), complete=len(rows) < most)

    def matching(self, plan: SqlitePlan, keys: Iterable[Scalar]) -> Mapping[Scalar, Row]:
        """Return those rows among ``keys`` that the filter lets through."""
        return {row.key: row for row in self._rows(plan, sql.matching(plan, keys), ())}

    def located(
        self, plan: SqlitePlan, keys: Iterable[SqlValue]
    ) -> tuple[Sequence[Row], Sequence[Row]]:
        """Return those rows among ``keys`` that match: after the plan's anchor, and before it."""
        after: list[Row] = []
        before: list[Row] = []
        select = sql.located(plan, keys)
        for is_after, key, version, *values in self._connection.execute(select.text, select.params):
            (after if is_after else before).append(self._row(plan, key, version, values))
        return after, before

    def members(self, plan: SqlitePlan) -> Mapping[Scalar, Row]:
        """Return every row that the filter lets through."""
        return {row.key: row for row in self._rows(plan, sql.members(plan, columns=True), ())}

    def versions(self, plan: SqlitePlan) -> dict[SqlValue, int]:
        """Return the version of every row that the filter lets through."""
        select = sql.members(plan, columns=False)
        return dict(self._connection.execute(select.text, select.params).fetchall())

    def values(
        self, plan: SqlitePlan, keys: Iterable[SqlValue]
    ) -> Mapping[SqlValue, Mapping[str, SqlValue]]:
        """Return the columns of those rows among ``keys`` that exist, whatever the filter says."""
        names = [column.name for column in plan.entity.columns]
        select = sql.existing(plan, keys)
        return {
            key: dict(zip(names, values, strict=True))
            for key, *values in self._connection.execute(select.text, select.params)
        }

    def _rows(self, plan: SqlitePlan, select: Select, before: Iterable[Row]) -> list[Row]:
        known = {row.key: row for row in before}
        rows = []
        for key, version, *values in self._connection.execute(select.text, select.params):
            row = known.get(key)
            if row is None or row.version != version:
                row = self._row(plan, key, version, values)
            rows.append(row)
        return rows

    def _row(
        self, plan: SqlitePlan, key: SqlValue, version: int, values: Sequence[SqlValue]
    ) -> Row:
        name = plan.entity.name, key, version
        encoded = self._encoded.get(name)
        if encoded is None:
            names = tuple(column.name for column in plan.entity.columns)
            encoded = self._encoded[name] = encode_row(names, tuple(values))
        return Row(version, encoded, (*(values[place] for place in plan.places), key))
