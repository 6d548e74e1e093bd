"""Alembic's autogenerate beside session tables: hooks for env.py that leave those tables, and our log, alone.

Without them `alembic revision --autogenerate` drops every table that the application's metadata does not know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from storage_admin.catalog import load_catalog
from storage_admin.compare import identify
from storage_admin.database import dialect_of
from storage_admin.dialects import SQLITE
from storage_admin.history import REVISIONS
from storage_admin.inspector import find_tables
from storage_admin.schema import LiveColumn, Shape, TableName

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Connection

    IncludeObject = Callable[[Any, str | None, str, bool, Any], bool]
    IncludeName = Callable[[str | None, str, Mapping[str, str | None]], bool]


def include_object(item: Any, name: str | None, type_: str, reflected: bool, compare_to: Any) -> bool:  # noqa: ARG001 - Alembic's signature
    """Whether autogenerate may touch an object: not if it is a session table, or our log, or a part of one.

    For ``context.configure(include_object=...)``. A table counts by its columns, as `StorageAdmin` finds it, on either
    side: a model of the application for a session table that is there is left alone too.
    """
    return not _is_ours(item, compare_to)


def without_session_tables(own: IncludeObject) -> IncludeObject:
    """An ``include_object`` that leaves out what the application's own does, and session tables."""

    def both(item: Any, name: str | None, type_: str, reflected: bool, compare_to: Any) -> bool:
        mine = include_object(item, name, type_, reflected, compare_to)
        return mine and own(item, name, type_, reflected, compare_to)

    return both


def beside_session_tables(
    connection: Connection, *, include_object: IncludeObject | None = None, include_name: IncludeName | None = None
) -> dict[str, Any]:
    """Both hooks, for ``context.configure(connection=connection, ..., **beside_session_tables(connection))``.

    The session tables of the database are looked for once, when autogenerate asks the first time, and are then not even
    reflected, which takes its time where there are thousands. The application's own hooks are asked as well.
    """
    tables = _Found(connection)

    def may_be_read(name: str | None, type_: str, parents: Mapping[str, str | None]) -> bool:
        if type_ == "table" and tables.has(parents.get("schema_name"), name):
            return False
        return include_name is None or include_name(name, type_, parents)

    def may_be_touched(item: Any, name: str | None, type_: str, reflected: bool, compare_to: Any) -> bool:
        table = getattr(item, "table", item)
        # What was not reflected looks like a table that is still to be created, if a model names it.
        if tables.has(table.schema, table.name) or _is_ours(item, compare_to):
            return False
        return include_object is None or include_object(item, name, type_, reflected, compare_to)

    return {"include_name": may_be_read, "include_object": may_be_touched}


def _is_ours(*sides: Any) -> bool:
    return any(_is_session_table(getattr(side, "table", side)) for side in sides if side is not None)


def _is_session_table(table: Any) -> bool:
    if table.name == REVISIONS:
        return True
    # Which database it is, a table does not say; folding the names of its columns does no harm where that is not done.
    shape = Shape(tuple(LiveColumn(column.name, "", nullable=True) for column in table.columns))
    return bool(identify(shape, load_catalog(), SQLITE).kinds)


class _Found:
    """The session tables of a database, and our logs, by name."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._names: frozenset[TableName] | None = None

    def has(self, schema: str | None, name: str | None) -> bool:
        """Whether this is one of them; no schema is the default one."""
        if self._names is None:
            self._names = self._look()
        usual = self.connection.dialect.default_schema_name if dialect_of(self.connection.engine).has_schemas else None
        return TableName(schema or usual, name or "") in self._names

    def _look(self) -> frozenset[TableName]:
        catalog, dialect = load_catalog(), dialect_of(self.connection.engine)
        found = find_tables(self.connection, dialect, names=[REVISIONS], markers=catalog.markers)
        return frozenset(
            live.name for live in found if live.name.name == REVISIONS or identify(live.shape, catalog, dialect).kinds
        )
