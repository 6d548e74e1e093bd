"""What is measured of a row where it is stored: its name, its runs, its bytes. An expression for each database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

if TYPE_CHECKING:
    from storage_admin.sessions.tables import SessionTable

NAME = "session_name"
RUNS = "runs"


def session_name(table: SessionTable) -> sa.ColumnElement[Any]:
    """The name that Agno's ``rename_session`` gave, NULL where there is none."""
    column = table.sql.c.session_data
    match table.dialect.name:
        case "postgresql":
            return column.op("->>")(sa.literal(NAME, sa.Text))
        case "mysql":
            held = sa.func.json_extract(column, f"$.{NAME}")
            return sa.case((sa.func.json_type(held) == "STRING", sa.func.json_unquote(held)))
    return _if_valid(column, sa.func.json_extract(column, f"$.{NAME}"))


def runs(table: SessionTable) -> sa.ColumnElement[Any]:
    """How many runs a session has: in a column of their own, or within its memory. NULL where there is no list."""
    found = [_length(table, name) for name in ("runs", "memory") if name in table.sql.c]
    return sa.func.coalesce(*found, sa.null())


def _length(table: SessionTable, name: str) -> sa.ColumnElement[Any]:
    column: sa.ColumnElement[Any] = table.sql.c[name]
    path = "$" if name == RUNS else f"$.{RUNS}"
    match table.dialect.name:
        case "postgresql":
            held = column if name == RUNS else column.op("->")(sa.literal(RUNS, sa.Text))
            return sa.case((sa.func.jsonb_typeof(held) == "array", sa.func.jsonb_array_length(held)))
        case "mysql":
            kind = sa.func.json_type(sa.func.json_extract(column, path))
            return sa.case((kind == "ARRAY", sa.func.json_length(column, path)))
    kind = sa.func.json_type(column, path)
    return _if_valid(column, sa.case((kind == "array", sa.func.json_array_length(column, path))))


def _if_valid(column: sa.ColumnElement[Any], expression: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    # A column of SQLite holds whatever was put there, and its functions refuse what is no JSON.
    return sa.case((sa.func.json_valid(column) == 1, expression))


def size(table: SessionTable) -> sa.ColumnElement[Any]:
    """The bytes that the columns of a row take: as they are stored on PostgreSQL (compressed), else as texts."""
    total: sa.ColumnElement[Any] = sa.cast(0, sa.BigInteger)
    for column in table.sql.c:
        total = total + sa.func.coalesce(_size_of(column, table.dialect.name), 0)
    return total


def _size_of(column: sa.ColumnElement[Any], dialect: str) -> sa.ColumnElement[Any]:
    match dialect:
        case "postgresql":
            return sa.func.pg_column_size(column)
        case "mysql":
            return sa.func.octet_length(column)
    return sa.func.length(sa.cast(column, sa.LargeBinary))
