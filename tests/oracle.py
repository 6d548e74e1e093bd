"""Alembic's autogenerate as a judge that we did not write: what would it still do to reach the head definition?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.dialects import postgresql

from storage_admin.schema import Column, ColumnType

if TYPE_CHECKING:
    from storage_admin.catalog import Catalog

STRINGS = (ColumnType.STRING, ColumnType.TEXT)


def mysql_string() -> sa.String:
    return sa.String(255)


TYPES: dict[str, dict[ColumnType, Any]] = {
    "postgresql": {
        ColumnType.STRING: sa.String,
        ColumnType.TEXT: sa.Text,
        ColumnType.JSON: postgresql.JSONB,
        ColumnType.EPOCH: sa.BigInteger,
        ColumnType.INTEGER: sa.BigInteger,
        ColumnType.BOOLEAN: sa.Boolean,
    },
    "mysql": {
        ColumnType.STRING: mysql_string,
        ColumnType.TEXT: sa.Text,
        ColumnType.JSON: sa.JSON,
        ColumnType.EPOCH: sa.BigInteger,
        ColumnType.INTEGER: sa.BigInteger,
        ColumnType.BOOLEAN: sa.Boolean,
    },
    "sqlite": {
        ColumnType.STRING: sa.String,
        ColumnType.TEXT: sa.Text,
        ColumnType.JSON: sa.JSON,
        ColumnType.EPOCH: sa.Integer,
        ColumnType.INTEGER: sa.Integer,
        ColumnType.BOOLEAN: sa.Boolean,
    },
}


def differences(
    url: str, catalog: Catalog, kinds: tuple[str, ...], schema: str | None, name: str, version: int
) -> list[tuple[Any, ...]]:
    """What Alembic would add, change or remove; removals are what we call extras.

    Two rules of ours are told to it: VARCHAR and TEXT are the same string, and an index counts by its columns.
    """
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://").replace("mysql:", "mysql+pymysql:"))
    with engine.connect() as connection:
        live = sa.inspect(connection)
        names = {tuple(i["column_names"]): i["name"] for i in live.get_indexes(name, schema=schema)}
        types = {c["name"]: c["type"] for c in live.get_columns(name, schema=schema)}
        dialect = engine.dialect.name
        target = catalog.target_for(kinds, version, dialect)
        metadata = sa.MetaData()
        table = sa.Table(name, metadata, *(_column(column, dialect, types) for column in target.columns), schema=schema)
        for index in target.indexes:
            sa.Index(names.get(index.columns) or "ix_absent", *(table.c[column] for column in index.columns))
        context = MigrationContext.configure(
            connection,
            opts={
                "include_schemas": schema is not None,
                "include_name": lambda found, kind, _: kind != "table" or found == name,
                "compare_type": True,
                "compare_server_default": dialect == "postgresql",
            },
        )
        found = compare_metadata(context, metadata)
    engine.dispose()
    return [difference if isinstance(difference, tuple) else difference[0] for difference in found]


def _column(column: Column, dialect: str, live: dict[str, Any]) -> sa.Column[Any]:
    kind = TYPES[dialect][column.type]()
    if dialect == "mysql" and column.type is ColumnType.JSON and isinstance(live.get(column.name), sa.Text):
        kind = live[column.name]  # MariaDB keeps JSON as LONGTEXT
    if column.type in STRINGS and isinstance(live.get(column.name), (sa.String, sa.Text)):
        kind = live[column.name]
    default = sa.text("(extract(epoch from now()))::bigint") if column.default and dialect == "postgresql" else None
    return sa.Column(column.name, kind, primary_key=column.primary_key, server_default=default)
