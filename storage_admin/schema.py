"""The values that everything else is about: target definitions and live shapes. Frozen, no behaviour of a database."""

from __future__ import annotations

from enum import Enum

import msgspec


class ColumnType(Enum):
    """A logical type. What it is called in SQL is the dialect's business."""

    STRING = "string"
    TEXT = "text"
    JSON = "json"
    EPOCH = "epoch"
    INTEGER = "integer"
    BOOLEAN = "boolean"


class Column(msgspec.Struct, frozen=True):
    """A column as a version defines it.

    ``default`` is the name of a default (``"now"``: the time of the insert, in seconds since 1970) or None.
    """

    name: str
    type: ColumnType
    primary_key: bool = False
    default: str | None = None


class Index(msgspec.Struct, frozen=True):
    """An index as a version defines it: its columns in order, the template of its name, the dialects that have it.

    ``name`` is None where the name is the one that SQLAlchemy gives to ``Column(index=True)``. ``only`` is None
    where every dialect has the index.
    """

    columns: tuple[str, ...]
    name: str | None = None
    only: frozenset[str] | None = None


class TableSchema(msgspec.Struct, frozen=True):
    """A target: columns and indexes, in the order in which they are created."""

    columns: tuple[Column, ...]
    indexes: tuple[Index, ...] = ()

    @property
    def column_names(self) -> frozenset[str]:
        """The names of all columns."""
        return frozenset(column.name for column in self.columns)

    @property
    def primary_key(self) -> tuple[str, ...]:
        """The names of the columns of the primary key, in order."""
        return tuple(column.name for column in self.columns if column.primary_key)


def seen(text: str, but: str = "") -> str:
    """A text with what nobody sees written out, but for some characters: one may turn a line around, or end it."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in but else repr(c)[1:-1] for c in text)


def quoted(name: str) -> str:
    """A name as a user writes it: in double quotes where it holds a dot, an equals sign or a quote, on one line."""
    shown = seen(name)
    return shown if shown and not set(shown) & set('".=') else '"' + shown.replace('"', '""') + '"'


class TableName(msgspec.Struct, frozen=True):
    """The name of a live table. ``schema`` is None where the database has no schemas (SQLite).

    As a text it is what the command line reads back as this table.
    """

    schema: str | None
    name: str

    def __str__(self) -> str:
        return quoted(self.name) if self.schema is None else f"{quoted(self.schema)}.{quoted(self.name)}"


class LiveColumn(msgspec.Struct, frozen=True):
    """A column as the database has it. ``type`` is the database's own text, ``default`` its expression."""

    name: str
    type: str
    nullable: bool
    default: str | None = None
    generated: bool = False


class LiveIndex(msgspec.Struct, frozen=True):
    """An index as the database has it. ``plain``: on columns only, whole table, ordered. Its name is in `LiveTable`."""

    columns: tuple[str, ...]
    unique: bool = False
    valid: bool = True
    plain: bool = True


class Shape(msgspec.Struct, frozen=True, eq=False):
    """What a table looks like, without its name: thousands of tables share one, and are compared once."""

    columns: tuple[LiveColumn, ...]
    primary_key: tuple[str, ...] = ()
    indexes: tuple[LiveIndex, ...] = ()


class Relation(Enum):
    """What stands behind a name."""

    TABLE = "table"
    PARTITIONED_TABLE = "partitioned table"
    PARTITION = "partition"
    VIEW = "view"
    MATERIALIZED_VIEW = "materialized view"
    FOREIGN_TABLE = "foreign table"

    @property
    def upgradable(self) -> bool:
        """Whether columns and indexes are added to this relation itself."""
        return self in (Relation.TABLE, Relation.PARTITIONED_TABLE)


class LiveTable(msgspec.Struct, frozen=True, eq=False):
    """A relation found in a database.

    ``index_names`` belong to ``shape.indexes``, in the same order. ``rows`` is the planner's estimate, None if it
    has none; ``bytes`` is table, indexes and long values together, None where nobody asked or the database cannot say.
    """

    name: TableName
    shape: Shape
    relation: Relation = Relation.TABLE
    index_names: tuple[str, ...] = ()
    rows: int | None = None
    bytes: int | None = None
