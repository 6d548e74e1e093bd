"""The statements of one table and one kind, built once. Only the columns of the kind are named."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.types import UserDefinedType

from storage_admin.schema import ColumnType
from storage_admin.storage.sessions import ENTITY, KEPT_IF_EMPTY, SESSION_ID, UNUSED

if TYPE_CHECKING:
    from collections.abc import Callable

    from storage_admin.schema import TableSchema

NOW = "now"


class JsonText(UserDefinedType[bytes]):
    """A JSON text in UTF-8, handed on to the driver with as little copying as it allows."""

    cache_ok = True

    def bind_processor(self, dialect: sa.Dialect) -> Callable[[bytes | None], object]:
        """How the driver wants it."""
        if dialect.driver != "psycopg":
            return lambda data: data.decode() if data is not None else None
        from psycopg.types.json import Jsonb

        return lambda data: Jsonb(data, dumps=_as_it_is)


def _as_it_is(data: bytes) -> bytes:
    return data


class Statements:
    """What is said to the database about the sessions of one kind.

    A JSON value goes to the database as text, and comes back as the database's driver gives it: decoded from JSONB, as
    text from SQLite and MySQL.
    ``keep_owner``: an upsert that would give the session of one user to another changes no row.
    """

    def __init__(
        self, dialect: str, target: TableSchema, kind: str, schema: str | None, name: str, *, keep_owner: bool
    ) -> None:
        self.dialect = dialect
        self.json_comes_as_text = dialect != "postgresql"
        self.keep_owner = keep_owner
        columns = [column for column in target.columns if column.name not in UNUSED.get(kind, ())]
        self.json_columns = tuple(column.name for column in columns if column.type is ColumnType.JSON)
        self.text_columns = tuple(column.name for column in columns if column.type is ColumnType.STRING)
        self.table = sa.table(name, *(sa.column(column.name) for column in columns), schema=schema)
        self.entity = self.table.c[ENTITY[kind]]
        self.kept_if_empty = KEPT_IF_EMPTY.get(kind, ())

    @property
    def stored_columns(self) -> tuple[str, ...]:
        """The columns that come from a session."""
        return (*self.text_columns, *self.json_columns)

    @cached_property
    def read(self) -> sa.Select[Any]:
        """One session: ``:session_id``."""
        return sa.select(*self._read_columns).where(self._this)

    @cached_property
    def read_of_user(self) -> sa.Select[Any]:
        """One session of one user: ``:session_id``, ``:user_id``."""
        return self.read.where(self._is(self.table.c.user_id, "user_id"))

    def sessions(self, *, user: bool, entity: bool, limit: bool = False) -> sa.Select[Any]:
        """Sessions, the newest first: ``:user_id``, ``:entity_id``, ``:limit`` where they are asked for."""
        return self._listed(sa.select(*self._read_columns), user=user, entity=entity, limit=limit)

    def ids(self, *, user: bool, entity: bool) -> sa.Select[Any]:
        """Session ids, the newest first: ``:user_id``, ``:entity_id`` where they are asked for."""
        return self._listed(sa.select(self.table.c.session_id), user=user, entity=entity, limit=False)

    @cached_property
    def upsert(self) -> sa.UpdateBase:
        """Insert or replace: the stored columns, ``:created_at`` and ``:now``.

        Returns times and owner, and what an empty value did not replace; no row where it did nothing.
        """
        statement = _insert(self.dialect)(self.table).values(
            {name: sa.bindparam(name, type_=sa.Text) for name in self.text_columns}
            | {name: self._json(name) for name in self.json_columns}
            | {"created_at": sa.bindparam("created_at", type_=sa.BigInteger)}
        )
        new, old = statement.excluded, self.table.c
        replaced = {name: new[name] for name in self.stored_columns if name != SESSION_ID}
        for name in self.kept_if_empty:
            empty = sa.cast(new[name], sa.Text).in_([sa.literal_column("'{}'"), sa.literal_column("'null'")])
            replaced[name] = sa.case((empty, old[name]), else_=new[name])
        replaced["user_id"] = sa.func.coalesce(new.user_id, old.user_id)
        condition = None
        if self.keep_owner:
            condition = sa.or_(old.user_id.is_(None), new.user_id.is_(None), old.user_id == new.user_id)
        replaced["updated_at"] = sa.bindparam(NOW, type_=sa.BigInteger)
        kept = [column for column in self._read_columns if column.name in self.kept_if_empty]
        returned = (old.user_id, old.created_at, old.updated_at, *kept)
        done: sa.UpdateBase = statement.on_conflict_do_update(
            index_elements=[SESSION_ID], set_=replaced, where=condition
        ).returning(*returned)
        return done

    @cached_property
    def owner(self) -> sa.Select[Any]:
        """Whose a session is: ``:session_id``."""
        return sa.select(self.table.c.user_id).where(self._this)

    @cached_property
    def delete(self) -> sa.Delete:
        """One session: ``:session_id``."""
        return sa.delete(self.table).where(self._this)

    @property
    def _this(self) -> sa.ColumnElement[bool]:
        return self._is(self.table.c.session_id, SESSION_ID)

    def _is(self, column: sa.ColumnElement[str], name: str) -> sa.ColumnElement[bool]:
        """Whether an id is the same text as a parameter."""
        return column == sa.bindparam(name, type_=sa.Text)

    @cached_property
    def _read_columns(self) -> tuple[sa.ColumnElement[Any], ...]:
        # On SQLite as text, since a column of type JSON makes a number of what looks like one.
        read_as = sa.Text if self.dialect == "sqlite" else _jsonb()
        as_json = sa.cast if self.dialect == "sqlite" else sa.type_coerce
        return tuple(
            as_json(column, read_as).label(column.name) if column.name in self.json_columns else column
            for column in self.table.c
        )

    def _listed(self, statement: sa.Select[Any], *, user: bool, entity: bool, limit: bool) -> sa.Select[Any]:
        if user:
            statement = statement.where(self._is(self.table.c.user_id, "user_id"))
        if entity:
            statement = statement.where(self._is(self.entity, "entity_id"))
        # Two sessions of one second stand in an order too.
        statement = statement.order_by(self.table.c.created_at.desc(), self.table.c.session_id)
        return statement.limit(sa.bindparam("limit", type_=sa.BigInteger)) if limit else statement

    def _json(self, name: str) -> sa.ColumnElement[Any]:
        bound = sa.bindparam(name, type_=JsonText)
        return bound if self.dialect == "sqlite" else sa.cast(bound, _jsonb())


def _jsonb() -> type[sa.types.JSON]:
    from sqlalchemy.dialects.postgresql import JSONB

    return JSONB


def _insert(dialect: str) -> Any:
    # Each dialect of SQLAlchemy has an INSERT ... ON CONFLICT of its own; importing one costs time.
    if dialect == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert
    from sqlalchemy.dialects import postgresql

    return postgresql.insert
