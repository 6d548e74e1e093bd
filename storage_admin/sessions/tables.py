"""A session table as the administration of rows sees it: which columns it has, and what they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from storage_admin.schema import ColumnType, LiveTable, TableName
from storage_admin.storage.sessions import DATA, ENTITY, SESSION_ID

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from storage_admin.catalog import Catalog
    from storage_admin.changes import Plan
    from storage_admin.dialects import Dialect

USER_ID = "user_id"
JSON_TYPES = frozenset({"json", "jsonb"})
TEXT_TYPES = frozenset(
    {"text", "tinytext", "mediumtext", "longtext", "varchar", "character varying", "char", "character"}
)
INTEGER_TYPES = frozenset({"smallint", "mediumint", "int", "integer", "bigint"})


class SessionColumn(msgspec.Struct, frozen=True):
    """A column. ``type`` is None where no version of the table's kinds has it; ``live`` is the database's own text."""

    name: str
    live: str
    type: ColumnType | None = None
    generated: bool = False

    @property
    def is_json(self) -> bool:
        """Whether it holds JSON: by the catalogue, or, where that does not know it, by its type."""
        return self.type is ColumnType.JSON or (self.type is None and self.live.lower() in JSON_TYPES)


class SessionTable(msgspec.Struct, frozen=True, eq=False, dict=True):
    """A table with the kinds that it holds. All columns travel, those too that no version knows."""

    name: TableName
    kinds: tuple[str, ...]
    columns: tuple[SessionColumn, ...]
    live: LiveTable
    dialect: Dialect
    version: int | None = None

    @property
    def sql(self) -> sa.TableClause:
        """The table for SQLAlchemy, with untyped columns: a driver's own values, and no JSON decoded."""
        known: sa.TableClause | None = self.__dict__.get("sql")
        if known is None:
            columns: list[sa.ColumnClause[Any]] = [sa.column(column.name) for column in self.columns]
            known = self.__dict__["sql"] = sa.table(self.name.name, *columns, schema=self.name.schema)
        return known

    @property
    def json_columns(self) -> tuple[str, ...]:
        """The names of the columns that hold JSON."""
        return tuple(column.name for column in self.columns if column.is_json)

    @property
    def entities(self) -> dict[str, sa.ColumnElement[Any]]:
        """The column that says whose a session is, by kind."""
        return {kind: self.sql.c[ENTITY[kind]] for kind in self.kinds if ENTITY[kind] in self.sql.c}

    @property
    def kind(self) -> sa.ColumnElement[str]:
        """The kind of a row. Where a table holds several: the youngest of which a column is filled that is its own."""
        *younger, oldest = reversed(self.kinds)
        whens = []
        for place, kind in enumerate(younger, 1):
            shared = {name for other in (*younger[place:], oldest) for name in _columns_of(other)}
            own = [name for name in _columns_of(kind) if name in self.sql.c and name not in shared]
            whens.append((sa.or_(sa.false(), *(self.sql.c[name].is_not(None) for name in own)), sa.literal(kind)))
        return sa.case(*whens, else_=sa.literal(oldest)) if whens else sa.literal(oldest)

    def is_indexed(self, *columns: str) -> bool:
        """Whether a valid index, or the primary key, begins with one of these columns."""
        leading = {index.columns[0] for index in self.live.shape.indexes if index.valid and index.plain}
        return not leading.isdisjoint(columns) or self.live.shape.primary_key[:1] in [(name,) for name in columns]


def _columns_of(kind: str) -> tuple[str, ...]:
    return (ENTITY[kind], *DATA[kind])


def session_tables(plans: Iterable[Plan], catalog: Catalog, dialect: Dialect) -> tuple[SessionTable, ...]:
    """The tables of some plans, those that do not exist yet left out."""
    return tuple(
        SessionTable(plan.table, plan.kinds, _columns(plan.live, plan.kinds, catalog), plan.live, dialect, plan.version)
        for plan in plans
        if plan.live is not None
    )


def _columns(live: LiveTable, kinds: Sequence[str], catalog: Catalog) -> tuple[SessionColumn, ...]:
    types = {
        column.name: column.type
        for kind in kinds
        for _, definition in catalog.definitions(kind)
        for column in definition.columns
    }
    return tuple(
        SessionColumn(column.name, column.type, types.get(column.name), column.generated)
        for column in live.shape.columns
    )


def portable_type(live: str) -> ColumnType | None:
    """The logical type of a column that no version knows, by the text of any database. None where a value of it may be
    another one elsewhere.
    """
    name = live.lower().partition("(")[0].strip()
    if name in JSON_TYPES:
        return ColumnType.JSON
    if name in TEXT_TYPES:
        return ColumnType.TEXT
    return ColumnType.INTEGER if name in INTEGER_TYPES else None


def same_text(column: sa.ColumnElement[Any], value: str, dialect: Dialect) -> sa.ColumnElement[bool]:
    """Whether a column is this text. To MySQL 'A' may be 'a': there it is compared byte by byte too."""
    if dialect.name == "postgresql":  # which sorts by the rest of an index only below a plain =
        return column == sa.literal(value, sa.Text)
    return one_of(column, [value], dialect)


def one_of(
    column: sa.ColumnElement[Any], values: Iterable[str], dialect: Dialect, *, name: str | None = None
) -> sa.ColumnElement[bool]:
    """Whether a column is one of these texts, compared as `same_text` does it. ``name`` is that of the parameter."""
    listed = list(values)
    if dialect.name == "postgresql":  # one parameter, so that the statement is the same for any number
        return column == sa.any_(sa.bindparam(name, listed, type_=sa.ARRAY(sa.Text)))
    found = column.in_(sa.bindparam(name, listed, expanding=True, type_=sa.Text))
    if dialect.name != "mysql":
        return found
    from sqlalchemy.dialects import mysql

    texts = (column, *(sa.literal(value, sa.Text) for value in listed))
    there, *here = (sa.cast(sa.cast(text, mysql.VARCHAR(charset="utf8mb4")), mysql.BINARY) for text in texts)
    return sa.and_(found, there.in_(here))


__all__ = [
    "SESSION_ID",
    "USER_ID",
    "SessionColumn",
    "SessionTable",
    "one_of",
    "portable_type",
    "same_text",
    "session_tables",
]
