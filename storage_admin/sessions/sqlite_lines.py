"""SQLite gives the parts of a line; only rows that hold something odd are looked at value by value.

A column of SQLite holds whatever was put there. What should be JSON comes as it is and is looked at here: its own
judgement of JSON takes longer, and is another one.
"""

from __future__ import annotations

import re
from math import isqrt
from operator import mod
from typing import TYPE_CHECKING, Any, cast

import msgspec
import sqlalchemy as sa

from storage_admin.sessions.driver import driver_errors
from storage_admin.sessions.formats import NULL_FORM, OWN, LineMaker, StoredText

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import Connection

    from storage_admin.sessions.tables import SessionColumn, SessionTable

FIRST, ROWS, BLOCK = 8, 500, 1 << 17  # rows that are fetched together: at first, at most, and their bytes, about
ROWID = "rowid"
UNSAFE = re.compile(rb'[\x00-\x1f"\\]').search  # what has to be escaped in quotes
NULL = b"null"


class _JsonNull:
    """The type, so to say, of a text that is JSON's null."""


# How a value is written, by its type: of NULL and of JSON's null nothing of the value itself.
WRITTEN: dict[type, bytes] = {bytearray: b"%b", int: b"%d", type(None): b"null%.0a", _JsonNull: b"null%.0a"}

_raw = msgspec.json.Decoder(msgspec.Raw).decode


def has_rowid(connection: Connection, table: SessionTable) -> bool:
    """Whether a row can be found again by its number."""
    if any(column.name.lower() == ROWID for column in table.columns):
        return False
    try:
        connection.execute(sa.select(sa.column(ROWID)).select_from(table.sql).limit(0))
    except sa.exc.OperationalError as error:
        if f"no such column: {ROWID}" not in str(error.orig):
            raise
        return False
    return True


class _Templates(dict["tuple[type, ...]", "bytes | None"]):
    """How a line is made of a row, by the types of its values: most rows of a table are of the same few.

    None where one of them needs a closer look. The last value of a row is its number.
    """

    def __init__(self, columns: Sequence[SessionColumn]) -> None:
        super().__init__()
        self._columns = columns

    def __missing__(self, kinds: tuple[type, ...]) -> bytes | None:
        if not all(kind in WRITTEN for kind in kinds):
            found = None
        else:
            nulls = [column for column, kind in zip(self._columns, kinds, strict=False) if kind is _JsonNull]
            forms = msgspec.json.encode({OWN: {column.name: NULL_FORM for column in nulls}})
            own = b"," + forms[1:-1] if nulls else b""
            parts = map(self._part, self._columns, kinds)
            found = b"{" + b",".join(parts) + own.replace(b"%", b"%%") + b"}%.0a\n"
        self[kinds] = found
        return found

    def _part(self, column: SessionColumn, kind: type) -> bytes:
        value = b'"%b"' if kind is bytearray and not column.is_json else WRITTEN[kind]
        return msgspec.json.encode(column.name).replace(b"%", b"%%") + b":" + value


class SQLiteLines:
    """The lines of a table that `has_rowid`."""

    def __init__(self, connection: Connection, table: SessionTable, columns: Sequence[SessionColumn]) -> None:
        self._connection, self._table, self._columns = connection, table, columns
        self._make = LineMaker({column.name: column.is_json for column in columns})
        self._templates = _Templates(columns)

    def query(self, condition: sa.ColumnElement[bool]) -> sa.Select[Any]:
        """The rows that `lines` makes lines of."""
        columns = [self._table.sql.c[column.name] for column in self._columns]
        return sa.select(*columns, sa.column(ROWID)).where(condition)

    def lines(self, query: sa.Select[Any]) -> Iterator[list[bytes]]:
        """The lines of the rows, some at a time.

        Raises:
            DBAPIError
        """
        driver: Any = self._connection.connection.driver_connection
        # By the driver itself, since SQLAlchemy makes an object of each row.
        compiled: Any = query.compile(dialect=self._connection.dialect, compile_kwargs={"render_postcompile": True})
        parameters = [compiled.params[name] for name in compiled.positiontup]
        before = driver.text_factory
        count = FIRST
        try:
            driver.text_factory = bytearray  # of texts alone: a blob is bytes
            with driver_errors(self._connection, "SELECT"):
                cursor = driver.execute(str(compiled), parameters)
                while rows := cursor.fetchmany(count):
                    lines = self._whole(driver, rows, self._lines(rows))
                    yield lines
                    count = max(1, min(ROWS, BLOCK * len(rows) // (sum(map(len, lines)) + 1)))
        finally:
            driver.text_factory = before

    def _lines(self, rows: Sequence[tuple[Any, ...]]) -> list[bytes | None]:
        """The line of each row, None where it needs a closer look.

        All rows are looked at together, column by column, and where that finds something, fewer of them.
        """
        templates = self._looked_over(rows)
        if None not in templates:
            return list(map(mod, templates, rows))
        if len(rows) == 1:
            return [None]
        step = isqrt(len(rows))
        return [line for start in range(0, len(rows), step) for line in self._lines(rows[start : start + step])]

    def _looked_over(self, rows: Sequence[tuple[Any, ...]]) -> Sequence[bytes | None]:
        """The template of each row, None anywhere if one of them needs a closer look."""
        *columns, numbers = zip(*rows, strict=True)
        kinds: list[Iterable[type]] = []
        jsons: list[bytearray] = []
        others: list[bytearray] = []
        for column, values in zip(self._columns, columns, strict=True):
            found: Sequence[type] = tuple(map(type, values))
            texts = _texts(values, found)
            if not column.is_json:
                others += texts
            elif texts:
                jsons += texts
                found = _with_null(values, texts, found)
            kinds.append(found)
        if UNSAFE(b"".join(others)) or not _are_json(jsons):
            return [None]
        return list(map(self._templates.__getitem__, zip(*kinds, map(type, numbers), strict=True)))

    def _whole(self, driver: Any, rows: Sequence[tuple[Any, ...]], lines: list[bytes | None]) -> list[bytes]:
        """With the lines of the rows that need a closer look, where these are still there."""
        if None not in lines:
            return cast("list[bytes]", lines)
        places = {row[-1]: place for place, row in enumerate(rows) if lines[place] is None}
        found = list(lines)
        rowid: sa.ColumnElement[Any] = sa.column(ROWID)
        columns = [self._table.sql.c[column.name] for column in self._columns]
        driver.text_factory = StoredText
        try:
            for number, *values in self._connection.execute(sa.select(rowid, *columns).where(rowid.in_(list(places)))):
                found[places[number]] = self._make(values)
        finally:
            driver.text_factory = bytearray
        return [line for line in found if line is not None]


def _texts(values: Sequence[Any], found: Sequence[type]) -> Sequence[bytearray]:
    """The texts of a column, whose values are of the types that were found: nearly always all, or none."""
    count = found.count(bytearray)
    if count in {0, len(values)}:
        return values if count else ()
    return [value for value in values if type(value) is bytearray]


def _with_null(values: Sequence[Any], texts: Sequence[bytearray], found: Sequence[type]) -> Sequence[type]:
    """The types with JSON's null as one of them."""
    count = texts.count(NULL)  # which is equal to such an array
    if count in {0, len(values)}:
        return (_JsonNull,) * len(values) if count else found
    return [_JsonNull if value == NULL else kind for value, kind in zip(values, found, strict=True)]


def _are_json(texts: Sequence[bytearray]) -> bool:
    """Whether each is JSON that can stand in a line as it is: in UTF-8, without space around it or line breaks."""
    together = b"".join(texts)
    if b"\n" in together or b"\r" in together:
        return False
    try:
        if sum(map(len, map(_raw, texts))) != len(together):  # space around a value is not in it
            return False
        return together.isascii() or together.decode() is not None
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return False
