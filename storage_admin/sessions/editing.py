"""Renaming and deleting: one statement a table, so that each is done or not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from storage_admin.sessions.measures import NAME
from storage_admin.sessions.tables import SESSION_ID, same_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from storage_admin.schema import TableName
    from storage_admin.sessions.filters import Filter
    from storage_admin.sessions.tables import SessionTable


class Changed(msgspec.Struct, frozen=True):
    """How many sessions of a table were renamed or deleted."""

    table: TableName
    sessions: int


def rename(connection: Connection, tables: Iterable[SessionTable], session_id: str, name: str) -> tuple[Changed, ...]:
    """Name a session, as Agno's ``rename_session`` does, but without the look of having been used."""
    done = []
    for table in tables:
        column = table.sql.c.session_data
        this = same_text(table.sql.c[SESSION_ID], session_id, table.dialect)
        statement = sa.update(table.sql).where(this).values(session_data=_named(column, name, table.dialect.name))
        done.append(Changed(table.name, connection.execute(statement).rowcount))
    return tuple(done)


def _named(column: sa.ColumnElement[Any], name: str, dialect: str) -> sa.ColumnElement[Any]:
    text = sa.literal(json.dumps(name), sa.Text)
    match dialect:
        case "postgresql":
            from sqlalchemy.dialects.postgresql import ARRAY, JSONB

            path = sa.cast(sa.literal([NAME], ARRAY(sa.Text)), ARRAY(sa.Text))
            held = sa.case(
                (sa.func.jsonb_typeof(column) == "object", column), else_=sa.cast(sa.literal("{}", sa.Text), JSONB)
            )
            return sa.func.jsonb_set(held, path, sa.cast(text, JSONB))
        case "mysql":
            held = sa.case((sa.func.json_type(column) == "OBJECT", column), else_=sa.literal("{}", sa.Text))
            return sa.func.json_set(held, f"$.{NAME}", sa.literal(name, sa.Text))
    held = sa.case((_is_object(column), column), else_=sa.literal("{}", sa.Text))
    return sa.func.json_set(held, f"$.{NAME}", sa.func.json(text))


def _is_object(column: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    # In this order: json_type refuses what is no JSON.
    return sa.case((sa.func.json_valid(column) == 1, sa.func.json_type(column) == "object"), else_=sa.false())


def delete(connection: Connection, tables: Iterable[SessionTable], wanted: Filter) -> tuple[Changed, ...]:
    """Delete the sessions that are meant, from every table that has any."""
    return tuple(
        Changed(table.name, connection.execute(sa.delete(table.sql).where(wanted.condition(table))).rowcount)
        for table in tables
        if wanted.fits(table)
    )


def count(connection: Connection, tables: Iterable[SessionTable], wanted: Filter) -> tuple[Changed, ...]:
    """How many sessions of each table are meant; tables that have none are left out."""
    found = []
    for table in tables:
        if wanted.fits(table):
            query = sa.select(sa.func.count()).select_from(table.sql).where(wanted.condition(table))
            if number := connection.scalar(query):
                found.append(Changed(table.name, number))
    return tuple(found)
