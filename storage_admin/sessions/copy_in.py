"""Rows into PostgreSQL: COPY straight into the table, and, where some are there already, by way of a temporary one."""

from __future__ import annotations

import itertools
import re
import struct
from functools import partial
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import exc

from storage_admin.database import send, tell
from storage_admin.sessions.copy_out import BLOCK, base_type, driver_of
from storage_admin.sessions.driver import driver_errors
from storage_admin.sessions.filters import active
from storage_admin.sessions.loading import BATCH_BYTES, NOT_TAKEN, TAKEN, Counts, roll_back
from storage_admin.sessions.parsing import Blob, Number, Unfit
from storage_admin.sessions.tables import SESSION_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import Connection

    from storage_admin.sessions.loading import OnConflict
    from storage_admin.sessions.parsing import Row
    from storage_admin.sessions.tables import SessionColumn, SessionTable

    Packer = Callable[[Any], bytes]

SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
END = b"\xff\xff"
NULL = b"\xff\xff\xff\xff"
NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
INTEGERS = {"smallint": (16, ">ih"), "integer": (32, ">ii"), "bigint": (64, ">iq")}
TEXTS = ("character varying", "text")
STAGING = "storage_admin_staging"
_length = struct.Struct(">i").pack


class CopyIn:
    """A `Loader` for PostgreSQL."""

    batch_bytes = BATCH_BYTES

    def __init__(
        self, connection: Connection, table: SessionTable, columns: Sequence[SessionColumn], on_conflict: OnConflict
    ) -> None:
        self.connection, self.table, self.columns, self.on_conflict = connection, table, columns, on_conflict
        self._driver = driver_of(connection)
        self._packers = [_packer(column) for column in columns]
        types = [base_type(column.live) for column in columns]
        self._direct = all(_travels_as_it_is(column) for column in columns)
        # A column of a type that we do not know goes through its text.
        self._staged = [kind if _travels_as_it_is(c) else "text" for kind, c in zip(types, columns, strict=True)]
        self._head = struct.pack(">h", len(columns))
        taken = {column.name for column in columns}
        self._number = next(name for name in map("n{}".format, itertools.count()) if name not in taken)

    def close(self) -> None:
        """As `Loader`, and so all else. What is set is set in transactions."""

    def prepare(self, values: Sequence[Any]) -> bytes:
        """The row in binary."""
        parts = [self._head]
        for place, (value, pack) in enumerate(zip(values, self._packers, strict=True)):
            try:
                parts.append(NULL if value is None else pack(value))
            except Unfit as error:
                raise Unfit(f"{self.columns[place].name}: {error}") from None
        return b"".join(parts)

    def load(self, rows: Sequence[Row]) -> Counts:
        """In one transaction."""
        if self._direct:
            try:
                return self._straight(rows)
            except exc.IntegrityError:
                self._direct = False  # some are there: so will be those that follow, mostly
            except exc.NotSupportedError:  # row-level security
                self._direct = False
        return self._by_staging(rows)

    # --- straight ------------------------------------------------------------------------------------------

    def _straight(self, rows: Sequence[Row]) -> Counts:
        self._begin()
        try:
            written = self._copy(_identifier(self.table), [column.name for column in self.columns], rows)
            if written != len(rows):
                raise exc.IntegrityError("COPY", None, ValueError("a trigger kept rows out"))
        except BaseException:
            roll_back(self.connection)
            raise
        send(self.connection, "COMMIT")
        return Counts(inserted=len(rows))

    def _begin(self) -> None:
        send(self.connection, "BEGIN")
        send(self.connection, "SET LOCAL client_encoding TO 'UTF8'")

    def _copy(self, target: Any, names: Sequence[str], rows: Sequence[Row]) -> int:
        from psycopg import sql

        columns = sql.SQL(", ").join(map(sql.Identifier, names))
        statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(target, columns)
        tell(statement.as_string(self._driver))
        with driver_errors(self.connection, "COPY"), self._driver.cursor() as cursor:
            with cursor.copy(statement) as copy:
                for block in self._blocks(rows):
                    copy.write(block)
            return cursor.rowcount

    @staticmethod
    def _blocks(rows: Sequence[Row]) -> Iterator[bytes]:
        parts, size = [SIGNATURE], 0
        for row in rows:
            parts.append(row.prepared)
            size += len(row.prepared)
            if size >= BLOCK:
                yield b"".join(parts)
                parts, size = [], 0
        yield b"".join([*parts, END])

    # --- by a temporary table ------------------------------------------------------------------------------

    def _by_staging(self, rows: Sequence[Row]) -> Counts:
        from psycopg import sql

        self._begin()
        try:
            # With the names of the columns, which the server names in its errors. The types are ours.
            listed = [
                sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(kind))
                for column, kind in zip(self.columns, self._staged, strict=True)
            ]
            listed.append(sql.SQL("{} serial").format(sql.Identifier(self._number)))  # in the order of COPY
            create = sql.SQL("CREATE TEMP TABLE {} ({}) ON COMMIT DROP")
            statement = create.format(sql.Identifier(STAGING), sql.SQL(", ").join(listed))
            send(self.connection, statement.as_string(self._driver))
            self._copy(sql.Identifier("pg_temp", STAGING), [column.name for column in self.columns], rows)
            counts = self._merge(rows)
        except BaseException:
            roll_back(self.connection)
            raise
        send(self.connection, "COMMIT")
        return counts

    def _merge(self, rows: Sequence[Row]) -> Counts:
        from sqlalchemy.dialects.postgresql import insert

        names = [column.name for column in self.columns]
        staged = sa.table(STAGING, *map(sa.column, (*names, self._number)), schema="pg_temp")
        new = {name: self._cast(staged.c[name], place) for place, name in enumerate(names)}
        old = self.table.sql.c
        same_id = old[SESSION_ID] == new[SESSION_ID]
        there = (
            self.connection.scalar(sa.select(sa.func.count()).select_from(staged).join(self.table.sql, same_id)) or 0
        )
        statement = insert(self.table.sql).from_select(names, sa.select(*new.values()).order_by(staged.c[self._number]))
        kept = {"preserve_rowcount": True}
        written = self.connection.execute(self._on_conflict(statement, names), execution_options=kept).rowcount
        inserted = min(written, len(rows) - there)
        counts = Counts(inserted, written - inserted, len(rows) - written)
        if self.on_conflict == "error" or written < len(rows) - there:
            self._refuse(counts, rows, staged, new, same_id)
        return counts

    def _refuse(self, counts: Counts, rows: Sequence[Row], staged: Any, new: dict[str, Any], same_id: Any) -> None:
        old = self.table.sql.c
        lost = old[SESSION_ID].is_(None)
        wrong = lost if self.on_conflict != "error" else sa.or_(lost, self._differs(new))
        query = (
            sa.select(staged.c[self._number], lost).select_from(staged.outerjoin(self.table.sql, same_id)).where(wrong)
        )
        for number, is_lost in self.connection.execute(query):
            counts.refused.append((rows[number - 1], NOT_TAKEN if is_lost else TAKEN))
        counts.unchanged -= len(counts.refused)

    def _on_conflict(self, statement: Any, names: Sequence[str]) -> Any:
        if self.on_conflict in ("error", "skip"):
            return statement.on_conflict_do_nothing(index_elements=[SESSION_ID])
        new = statement.excluded
        where = self._differs({name: new[name] for name in names})
        if self.on_conflict == "newer":
            moments = [new[name] if name in names else sa.null() for name in ("updated_at", "created_at")]
            where = sa.and_(where, sa.func.coalesce(*moments, 0) > active(self.table))
        replaced = {name: new[name] for name in names if name != SESSION_ID}
        return statement.on_conflict_do_update(index_elements=[SESSION_ID], set_=replaced, where=where)

    def _differs(self, new: dict[str, Any]) -> sa.ColumnElement[bool]:
        pairs = []
        for column, kind in zip(self.columns, self._staged, strict=True):
            one: sa.ColumnElement[Any] = self.table.sql.c[column.name]
            other: sa.ColumnElement[Any] = new[column.name]
            if kind == "json" or not _travels_as_it_is(column):  # types that may have no equality
                one, other = sa.cast(one, sa.Text), sa.cast(other, sa.Text)
            pairs.append(one.is_distinct_from(other))
        return sa.or_(sa.false(), *pairs)

    def _cast(self, value: sa.ColumnElement[Any], place: int) -> sa.ColumnElement[Any]:
        column = self.columns[place]
        if _travels_as_it_is(column):
            return value
        # As the catalogue of the server writes it, in quotes where it needs them.
        return sa.cast(value, _type_of(column.live))


def _identifier(table: SessionTable) -> Any:
    from psycopg import sql

    return sql.Identifier(*(part for part in (table.name.schema, table.name.name) if part is not None))


def _type_of(live: str) -> Any:
    from sqlalchemy.types import UserDefinedType

    class Live(UserDefinedType[Any]):
        cache_ok = False

        def get_col_spec(self, **_: object) -> str:
            return live

    return Live()


# --- values ------------------------------------------------------------------------------------------------


def _travels_as_it_is(column: SessionColumn) -> bool:
    """Whether the binary form of a column is one that we write."""
    return base_type(column.live) in (*TEXTS, *INTEGERS, "boolean", "jsonb", "json", "bytea")


def _packer(column: SessionColumn) -> Packer:
    kind = base_type(column.live)
    if kind in INTEGERS:
        bits, layout = INTEGERS[kind]
        pack = struct.Struct(layout).pack
        size, limit = bits // 8, 1 << (bits - 1)

        def integer(value: Any) -> bytes:
            if type(value) is not int:
                raise Unfit("it is no integer")
            if not -limit <= value < limit:
                raise Unfit(f"it is no integer of {bits} bits")
            return pack(size, value)

        return integer
    if kind == "jsonb":
        return _jsonb
    length = re.fullmatch(r"character varying\((\d+)\)", column.live)
    if length is not None:
        return partial(_short_text, int(length[1]))
    return {"boolean": _boolean, "bytea": _bytes}.get(kind, _text if column.is_json or kind in TEXTS else _any_text)


def _jsonb(value: Any) -> bytes:
    if isinstance(value, Blob):
        raise Unfit("bytes are no JSON")
    if b"\\u0000" in value and NUL.search(value):
        raise Unfit("JSONB cannot hold U+0000")
    data: bytes = value
    return _length(len(data) + 1) + b"\x01" + data


def _text(value: Any) -> bytes:
    if isinstance(value, Number) or not isinstance(value, (str, bytes)) or isinstance(value, Blob):
        raise Unfit("it is no text")
    data = value.encode() if isinstance(value, str) else value
    if b"\0" in data:
        raise Unfit("a text cannot hold U+0000 on PostgreSQL")
    return _length(len(data)) + data


def _short_text(limit: int, value: Any) -> bytes:
    if isinstance(value, str) and len(value) > limit:
        raise Unfit(f"it has more than {limit} characters")
    return _text(value)


def _any_text(value: Any) -> bytes:
    if isinstance(value, (bytes, bool)):
        value = str(value).lower() if isinstance(value, bool) else f"\\x{value.hex()}"
    return _text(str.__str__(value) if isinstance(value, str) else str(value))


def _boolean(value: Any) -> bytes:
    if not isinstance(value, bool):
        raise Unfit("it is neither true nor false")
    return b"\0\0\0\1\1" if value else b"\0\0\0\1\0"


def _bytes(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise Unfit("it is no bytes")
    return _length(len(value)) + value
