"""SQLite gives the parts of a line; only rows that hold something odd are looked at value by value.

A column of SQLite holds whatever was put there. What should be JSON comes as it is and is looked at here: its own
judgement of JSON takes longer, and is another one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import sqlalchemy as sa

from storage_admin.sessions.formats import NULL_FORM, OWN, LineMaker, StoredText

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection

    from storage_admin.sessions.tables import SessionColumn, SessionTable

ROWS = 500  # that are fetched together
ROWID = "rowid"
UNSAFE = re.compile(rb'[\x00-\x1f"\\]').search  # what has to be escaped in quotes
# How a value is written, by its type: of NULL nothing.
WRITTEN: dict[type, bytes] = {bytearray: b"%b", int: b"%d", type(None): b"null%.0a"}
SPACE = 32  # the last of the characters that JSON may have around it
NULL = f':"{NULL_FORM}"'.encode()

_encode = msgspec.json.Encoder().encode
_look_at = msgspec.json.Decoder(msgspec.Raw).decode


def has_rowid(connection: Connection, table: SessionTable) -> bool:
    """Whether a row can be found again by its number."""
    if any(column.name.lower() == ROWID for column in table.columns):
        return False
    try:
        connection.execute(sa.select(sa.column(ROWID)).select_from(table.sql).limit(0))
    except sa.exc.OperationalError:
        return False
    return True


class _Plan(NamedTuple):
    """How a line is made of a row whose values are of certain types; ``json`` and ``texts`` are places in it."""

    template: bytes
    json: tuple[int, ...]
    texts: tuple[int, ...]


class SQLiteLines:
    """The lines of a table that `has_rowid`."""

    def __init__(self, connection: Connection, table: SessionTable, columns: Sequence[SessionColumn]) -> None:
        self._connection, self._table, self._columns = connection, table, columns
        self._keys = [_encode(column.name) for column in columns]
        self._make = LineMaker({column.name: column.is_json for column in columns})
        # Most rows are of the same few types: each combination is thought about once.
        self._plans: dict[tuple[type, ...], _Plan | None] = {}

    def query(self, condition: sa.ColumnElement[bool]) -> sa.Select[Any]:
        """The rows that `lines` makes lines of."""
        columns = [self._table.sql.c[column.name] for column in self._columns]
        return sa.select(*columns, sa.column(ROWID)).where(condition)

    def lines(self, query: sa.Select[Any]) -> Iterator[list[bytes]]:
        """The lines of the rows, some at a time."""
        driver: Any = self._connection.connection.driver_connection
        # By the driver itself, since SQLAlchemy makes an object of each row.
        compiled: Any = query.compile(dialect=self._connection.dialect, compile_kwargs={"render_postcompile": True})
        parameters = [compiled.params[name] for name in compiled.positiontup]
        before = driver.text_factory
        try:
            driver.text_factory = bytearray  # of texts alone: a blob is bytes
            cursor = driver.execute(str(compiled), parameters)
            while rows := cursor.fetchmany(ROWS):
                yield self._lines(driver, rows)
        finally:
            driver.text_factory = before

    def _lines(self, driver: Any, rows: Sequence[tuple[Any, ...]]) -> list[bytes]:
        found: list[bytes] = []
        odd: dict[int, int] = {}
        for row in rows:
            line = self._line(row)
            if line is None:
                odd[row[-1]] = len(found)
                line = b""
            found.append(line)
        if odd:
            try:
                driver.text_factory = StoredText
                for number, data in self._looked_at(odd):
                    found[odd[number]] = data
            finally:
                driver.text_factory = bytearray
        return [data for data in found if data]

    def _line(self, row: tuple[Any, ...]) -> bytes | None:
        """The line of a row, None where it needs a closer look."""
        types = tuple(map(type, row))
        try:
            plan = self._plans[types]
        except KeyError:
            plan = self._plans[types] = self._plan(types)
        if plan is None:
            return None
        nulls = []
        try:
            for place in plan.json:
                value = row[place]
                _look_at(value)
                if value[0] <= SPACE or value[-1] <= SPACE:
                    return None
                if value == b"null":
                    nulls.append(place)
            for place in plan.texts:
                if UNSAFE(row[place]):
                    return None
            line = plan.template % (*row[:-1], self._told(nulls) if nulls else b"")
            if not (line.isascii() or line.decode()) or line.find(b"\n") != len(line) - 1 or b"\r" in line:
                return None
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return None
        return line

    def _plan(self, types: tuple[type, ...]) -> _Plan | None:
        parts = []
        for kind, column, key in zip(types, self._columns, self._keys, strict=False):
            if kind not in WRITTEN:
                return None
            value = b'"%b"' if kind is bytearray and not column.is_json else WRITTEN[kind]
            parts.append(key.replace(b"%", b"%%") + b":" + value)
        texts = [place for place, kind in enumerate(types) if kind is bytearray]
        json = tuple(place for place in texts if self._columns[place].is_json)
        template = b"{" + b",".join(parts) + b"%b}\n"
        return _Plan(template, json, tuple(place for place in texts if place not in json))

    def _told(self, nulls: Sequence[int]) -> bytes:
        return b',"%b":{%b}' % (OWN.encode(), b",".join(self._keys[place] + NULL for place in nulls))

    def _looked_at(self, numbers: Sequence[int] | dict[int, int]) -> Iterator[tuple[int, bytes]]:
        rowid: sa.ColumnElement[Any] = sa.column(ROWID)
        columns = [self._table.sql.c[column.name] for column in self._columns]
        for number, *values in self._connection.execute(sa.select(rowid, *columns).where(rowid.in_(list(numbers)))):
            yield number, self._make(values)
