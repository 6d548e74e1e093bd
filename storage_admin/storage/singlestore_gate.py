"""Before the first statement of a kind on SingleStore: a missing table is created, one that is there is only looked at.

It has no lock that an upgrade could take, and nothing of ours was ever run on it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace
from sqlalchemy import text

from storage_admin import executor
from storage_admin.access import upgrade_by_hand
from storage_admin.changes import AddColumn, CreateTable, Status
from storage_admin.compare import plan_new
from storage_admin.dialects.singlestore import COLUMNS
from storage_admin.discovery import Finder
from storage_admin.errors import KindNeeded, TableGone
from storage_admin.messages import displayed_url
from storage_admin.reports import Outcome
from storage_admin.schema import LiveColumn, LiveTable, Shape, TableName
from storage_admin.storage.gate import Gate

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection

    from storage_admin.changes import Plan


class ColumnFinder(Finder):
    """Finds one named table, and of it the columns only."""

    def _find(
        self,
        names: Collection[str],
        schema: str | None,
        *,
        by_shape: bool = False,  # noqa: ARG002 - no search goes beyond a name here
        details: bool = False,  # noqa: ARG002 - nor is anything asked for beside
    ) -> list[LiveTable]:
        return [live for name in names if (live := live_table(self.connection, TableName(schema, name))) is not None]


def live_table(connection: Connection, name: TableName) -> LiveTable | None:
    """A table and its columns; None where there is none of this name."""
    rows: list[Any] = list(connection.execute(text(COLUMNS), {"schema": name.schema, "name": name.name}))
    rows = [row for row in rows if (row[0], row[1]) == (name.schema, name.name)]  # not one that only compares as equal
    columns = tuple(
        LiveColumn(column, kind, nullable == "YES", None if default in (None, "NULL") else default)
        for _, _, column, kind, nullable, default, _ in rows
    )
    primary_key = tuple(row[2] for row in rows if row[6] == "PRI")
    return LiveTable(name, Shape(columns, primary_key)) if rows else None


class SingleStoreGate(Gate):
    """As `Gate`, where nothing but a missing table is ever made, with the flag and without it."""

    def upgrade(self, kinds: tuple[str, ...], *, index_limit: int | None = None) -> Outcome:  # noqa: ARG002 - it has none
        """Create the table for these kinds, if it is missing.

        Raises:
            UpgradeByHand: it is there, and lacks something.
            QueryFailed, CannotConnect
        """
        if (plan := self._look(kinds)) is not None:
            self._refuse(plan)
            return Outcome(plan)
        new = self._ask(lambda connection: self._new(connection, kinds))
        began = time.perf_counter()
        statements = self._ask(lambda connection: executor.create(connection, self.dialect, new))
        seconds = time.perf_counter() - began
        if (plan := self._look(kinds)) is None:
            raise TableGone(table=str(new.table))
        self._refuse(plan)
        return Outcome(new if statements else plan, statements, seconds)

    def exists(self) -> bool:
        """Whether there is a relation of this name.

        Raises:
            CannotConnect
        """

        def find(connection: Connection) -> bool:
            ref = self._resolved(connection)
            return live_table(connection, TableName(ref.schema, ref.name)) is not None

        return self._ask(find)

    # --- inside --------------------------------------------------------------------------------------------

    def _new(self, connection: Connection, kinds: tuple[str, ...]) -> Plan:
        ref = self._resolved(connection, kinds)
        if not kinds:
            raise KindNeeded(table=str(ref), reason="does not exist", kinds="|".join(self.catalog.kinds))
        plan = plan_new(TableName(ref.schema, ref.name), kinds, self.catalog, self.dialect)
        return replace(plan, changes=tuple(change for change in plan.changes if isinstance(change, CreateTable)))

    def _look(self, kinds: tuple[str, ...]) -> Plan | None:
        def glance(connection: Connection) -> Plan | None:
            finder = ColumnFinder(connection, self.dialect, self.catalog, None, displayed_url(self.engine.url))
            plan = finder.glance(self._resolved(connection, kinds))
            return _columns_of(plan) if plan is not None else None

        return self._ask(glance)

    def _bring_up(self, plan: Plan, kind: str) -> Plan:
        self._refuse(plan, kind)
        return plan

    def _refuse(self, plan: Plan, kind: str | None = None) -> None:
        if plan.changes:
            raise upgrade_by_hand(plan, self.dialect, kind or " and ".join(plan.kinds))


def _columns_of(plan: Plan) -> Plan:
    """What a plan says of columns: no release made an index on SingleStore, and none is needed to read and write."""
    changes = tuple(change for change in plan.changes if isinstance(change, AddColumn))
    status = Status.CURRENT if plan.status is Status.OUTDATED and not changes else plan.status
    return replace(plan, changes=changes, status=status)
