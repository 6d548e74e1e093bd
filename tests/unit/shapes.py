"""Shapes without a database: as a version makes them, and as a plan leaves them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage_admin import changes as c
from storage_admin.schema import LiveColumn, LiveIndex, LiveTable, Shape, TableName

if TYPE_CHECKING:
    from storage_admin.catalog import Catalog
    from storage_admin.dialects import Dialect
    from storage_admin.schema import Column

NAME = TableName("ai", "sessions")


def live_column(column: Column, dialect: Dialect) -> LiveColumn:
    return LiveColumn(
        column.name, dialect.types[column.type].sql, not column.primary_key, dialect.default_sql(column.default)
    )


def made_by(catalog: Catalog, dialect: Dialect, kinds: tuple[str, ...], version: int) -> LiveTable:
    """A table as a version makes it."""
    target = catalog.target_for(kinds, version, dialect.name)
    shape = Shape(
        tuple(live_column(column, dialect) for column in target.columns),
        target.primary_key,
        tuple(LiveIndex(index.columns) for index in target.indexes),
    )
    return LiveTable(NAME, shape, index_names=tuple(dialect.index_name(NAME, index) for index in target.indexes))


def applied(plan: c.Plan, dialect: Dialect) -> LiveTable:
    """The table after the changes of a plan."""
    live = plan.live or LiveTable(plan.table, Shape(()))
    columns, indexes, names = list(live.shape.columns), list(live.shape.indexes), list(live.index_names)
    key = live.shape.primary_key
    for change in plan.changes:
        match change:
            case c.CreateTable():
                columns.extend(live_column(column, dialect) for column in change.columns)
                key = tuple(column.name for column in change.columns if column.primary_key)
            case c.AddColumn():
                columns.append(live_column(change.column, dialect))
            case c.SetDefault():
                at = [column.name for column in columns].index(change.column.name)
                columns[at] = live_column(change.column, dialect)
            case c.CreateIndex():
                indexes.append(LiveIndex(change.index.columns))
                names.append(change.name)
            case c.RebuildIndex():
                indexes[names.index(change.name)] = LiveIndex(change.index.columns)
    return LiveTable(plan.table, Shape(tuple(columns), key, tuple(indexes)), index_names=tuple(names))
