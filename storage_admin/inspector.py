"""Connection -> live tables. One query for a whole database, however many tables it has; nothing is locked."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec
from msgspec.json import decode
from sqlalchemy import func, literal, select, table, text

from storage_admin.database import ask
from storage_admin.schema import LiveColumn, LiveIndex, LiveTable, Relation, Shape, TableName

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sqlalchemy import Connection

    from storage_admin.dialects import Dialect


RELATIONS = {relation.value: relation for relation in Relation}


def find_tables(
    connection: Connection,
    dialect: Dialect,
    *,
    names: Collection[str],
    markers: Collection[str] = (),
    schema: str | None = None,
    details: bool = False,
) -> tuple[LiveTable, ...]:
    """The relations that have one of these names or one of the marker columns, sorted by name.

    ``schema`` limits the search; system schemas and temporary tables are never searched. ``details`` adds row
    estimates and sizes, which cost a look at every file, and on PostgreSQL the text of defaults; without it an empty
    text stands for any default.
    """
    catalogue = _catalogue(dialect, _scope(names, markers, schema), by_shape=bool(markers), details=details)
    known = {"schema": schema, "names": _listed(names), "markers": _listed(markers), "only": next(iter(names), None)}
    parameters = {name: value for name, value in known.items() if f":{name}" in catalogue}
    found = [_table(*row) for row in ask(connection, catalogue, parameters)]
    tables = tuple(sorted(found, key=lambda live: (live.name.schema or "", live.name.name)))
    return _measured(connection, tables) if details and not dialect.estimates_rows else tables


@lru_cache
def _catalogue(dialect: Dialect, scope: str, *, by_shape: bool, details: bool) -> str:
    return dialect.catalogue.format(
        filter=f"({dialect.named_filter} OR {dialect.shape_filter})" if by_shape else dialect.named_filter,
        default=dialect.detail_default if details else dialect.default_known,
        rows=dialect.detail_rows if details else "NULL",
        size=dialect.detail_size if details else "NULL",
        scope=dialect.scope.get(scope, ""),
    )


def _listed(names: Collection[str]) -> str:
    # MySQL compares the texts of two JSON strings, so that an escape is not the character.
    return json.dumps(sorted(names), ensure_ascii=False)


def _scope(names: Collection[str], markers: Collection[str], schema: str | None) -> str:
    """How far a search goes: over "all", one "schema", or one "table"."""
    if schema is None:
        return "all"
    return "table" if len(names) == 1 and not markers else "schema"


def _table(
    schema: str | None,
    name: str,
    relation: str,
    columns: str | None,
    primary_key: str | None,
    indexes: str | None,
    index_names: str | None,
    rows: int | None,
    size: int | None,
) -> LiveTable:
    return LiveTable(
        TableName(schema, name),
        _shape(columns or "", primary_key or "", indexes or ""),
        RELATIONS[relation],
        tuple(decode(f"[{index_names}]")) if index_names else (),
        rows,
        size,
    )


@lru_cache(maxsize=4096)
def _shape(columns: str, primary_key: str, indexes: str) -> Shape:
    # Tables of one release answer with the same text, so each text is parsed once and gives one Shape.
    numbered = {number: LiveColumn(*column) for number, *column in decode(f"[{columns}]")}

    def named(numbers: list[int]) -> tuple[str, ...]:
        return tuple(numbered[number].name for number in numbers if number in numbered)

    return Shape(
        tuple(numbered.values()),
        named(decode(f"[{primary_key}]")),
        tuple(LiveIndex(named(numbers), *flags) for numbers, *flags in decode(f"[{indexes}]")),
    )


def _measured(connection: Connection, tables: Iterable[LiveTable]) -> tuple[LiveTable, ...]:
    # SQLite keeps no statistics unless asked: count through the smallest index, and sum up the pages where the
    # dbstat module was compiled in.
    has_dbstat = connection.scalar(text("SELECT 1 FROM pragma_module_list WHERE name = 'dbstat'")) is not None
    pages = text(
        "SELECT sum(pgsize) FROM dbstat WHERE name IN (SELECT name FROM main.sqlite_master WHERE tbl_name = :name)"
    )

    def measure(live: LiveTable) -> LiveTable:
        if not live.relation.upgradable:
            return live
        rows = connection.scalar(select(func.count()).select_from(table(live.name.name)))
        size = connection.scalar(pages, {"name": live.name.name}) if has_dbstat else None
        return msgspec.structs.replace(live, rows=rows, bytes=size)

    return tuple(measure(live) for live in tables)


def holds_more_than(connection: Connection, dialect: Dialect, name: TableName, limit: int) -> bool:
    """Whether a table has more than so many rows, by the planner's estimate where there is one, else by counting."""
    if dialect.estimates_rows:
        found = find_tables(connection, dialect, names=[name.name], schema=name.schema, details=True)
        estimate = next((live.rows for live in found if live.name == name), None)
        if estimate:  # 0 may be older than the rows
            return estimate > limit
    rows = select(literal(1)).select_from(table(name.name, schema=name.schema)).limit(limit + 1)
    return (connection.scalar(select(func.count()).select_from(rows.subquery())) or 0) > limit


def existing_names(connection: Connection, dialect: Dialect, names: Collection[str]) -> frozenset[TableName]:
    """Those of these names that a relation (a table, an index, ...) has in any schema; none where indexes have names of
    their own in each table.
    """
    if not dialect.relations_named:
        return frozenset()
    rows = ask(connection, dialect.relations_named, {"names": _listed(names)})
    return frozenset(TableName(schema, name) for schema, name in rows)


def existing_schemas(connection: Connection, dialect: Dialect) -> frozenset[str]:
    """The names of all schemas; empty where the database has none."""
    return frozenset(connection.scalars(text(dialect.schemas))) if dialect.has_schemas else frozenset()
