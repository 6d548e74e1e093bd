"""Whole sessions: a row with its JSON decoded."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from storage_admin.sessions.tables import SESSION_ID, USER_ID, same_text
from storage_admin.storage.encoding import decode
from storage_admin.storage.sessions import ENTITY

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from storage_admin.schema import TableName
    from storage_admin.sessions.tables import SessionTable


class Session(msgspec.Struct, frozen=True):
    """A row. ``values`` has every column of its table, JSON decoded; what is no JSON stays a text."""

    table: TableName
    kind: str
    values: dict[str, Any]

    @property
    def session_id(self) -> str:
        """The primary key."""
        return str(self.values[SESSION_ID])

    @property
    def user_id(self) -> str | None:
        """Whose session it is."""
        found: str | None = self.values.get(USER_ID)
        return found

    @property
    def entity_id(self) -> str | None:
        """The agent, team or workflow that it was held with."""
        found: str | None = self.values.get(ENTITY[self.kind])
        return found

    @property
    def name(self) -> str | None:
        """The name that somebody gave it."""
        data = self.values.get("session_data")
        name = data.get("session_name") if isinstance(data, dict) else None
        return str(name) if name is not None else None


def columns_read(table: SessionTable) -> tuple[sa.ColumnElement[Any], ...]:
    """Every column, JSON as its text: a driver decodes less, and SQLite makes a number of what looks like one."""
    json = frozenset(table.json_columns)
    return tuple(sa.cast(c, sa.Text).label(c.name) if c.name in json else c for c in table.sql.c)


def read(connection: Connection, tables: Iterable[SessionTable], session_id: str) -> tuple[Session, ...]:
    """The session of an id; several where several tables have one."""
    found = []
    for table in tables:
        this = same_text(table.sql.c[SESSION_ID], session_id, table.dialect)
        for kind, *values in connection.execute(sa.select(table.kind, *columns_read(table)).where(this)):
            found.append(Session(table.name, kind, _decoded(table, values)))
    return tuple(found)


def _decoded(table: SessionTable, row: Iterable[Any]) -> dict[str, Any]:
    values = {column.name: value for column, value in zip(table.columns, row, strict=True)}
    for name in table.json_columns:
        with suppress(ValueError):
            values[name] = decode(values[name])
    return values
