"""Rows into SQLite and MySQL: many in one statement or one loop of the driver; one by one where some are there."""

from __future__ import annotations

import json
import re
from contextlib import closing, suppress
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import exc

from storage_admin.database import send
from storage_admin.sessions.driver import driver_errors
from storage_admin.sessions.exporting import as_bytes
from storage_admin.sessions.formats import Line, LineMaker, is_json
from storage_admin.sessions.loading import BATCH_BYTES, TAKEN, Counts, roll_back
from storage_admin.sessions.parsing import Blob, Number, Parser, Unfit
from storage_admin.sessions.tables import SESSION_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sqlalchemy import Connection

    from storage_admin.sessions.loading import OnConflict
    from storage_admin.sessions.parsing import Row
    from storage_admin.sessions.tables import SessionColumn, SessionTable

ASKED = 500  # ids in one query
INTEGERS = range(-(2**63), 2**63)
NUMBER = re.compile(rb"\s*-?[0-9.]")
NO_NUMBER = (b"{", b"[")
LONG_NUMBER = re.compile(rb"[0-9][0-9.eE+-]{15}")  # or a text of digits: one that a float may not hold
ESCAPED = re.compile(rb"['\"\\\0\n\r\x1a]")
WHOLE = ("bigint", "int", "smallint", "mediumint", "tinyint")
DEFAULT_CACHE, CACHE = -2_000, -16_000  # KiB of pages, as SQLite has it: below zero
OVERHEAD = 4096  # bytes of a statement beside its values


class RowLoader:
    """A `Loader` for SQLite and MySQL."""

    begin = "BEGIN"
    batch_bytes = BATCH_BYTES

    def __init__(
        self, connection: Connection, table: SessionTable, columns: Sequence[SessionColumn], on_conflict: OnConflict
    ) -> None:
        self.connection, self.table, self.columns, self.on_conflict = connection, table, columns, on_conflict
        self.names = [column.name for column in columns]
        self._are_json = [column.is_json for column in columns]
        self._json_places = [place for place, is_json in enumerate(self._are_json) if is_json]
        self._other_places = [place for place, is_json in enumerate(self._are_json) if not is_json]
        self._key = self.names.index(SESSION_ID)
        self._expects_new = True
        self._insert, self._update = self._statements(lambda bound: bound)
        self._make = LineMaker({column.name: column.is_json for column in columns})
        self._parse = Parser(columns, strict=False)

    def close(self) -> None:
        """As `Loader`, and so all else."""

    def prepare(self, values: Sequence[Any]) -> Any:
        """As a tuple, in the order of the columns."""
        made, place = list(values), 0
        try:
            for place in self._json_places:
                if (value := made[place]) is not None:
                    made[place] = self.json(value)
            for place in self._other_places:
                if (value := made[place]) is not None and type(value) is not str:
                    made[place] = self.scalar(value)
        except Unfit as error:
            raise Unfit(f"{self.names[place]}: {error}") from None
        return tuple(made)

    def load(self, rows: Sequence[Row]) -> Counts:
        """In one transaction."""
        if self._expects_new:
            try:
                return self._in_transaction(rows, self._all_new)
            except exc.IntegrityError:
                self._expects_new = False  # some are there: so will be those that follow, mostly
        return self._in_transaction(rows, self._one_by_one)

    def json(self, value: bytes) -> Any:
        """A JSON text as it is sent.

        Raises:
            Unfit
        """
        raise NotImplementedError

    def scalar(self, value: Any) -> Any:
        """Any other value, but for a text, which is sent as it is.

        Raises:
            Unfit
        """
        raise NotImplementedError

    # --- inside --------------------------------------------------------------------------------------------

    def _statements(self, sent: Callable[[sa.ColumnElement[Any]], sa.ColumnElement[Any]]) -> tuple[str, str]:
        """INSERT and UPDATE of a row, JSON as it is ``sent``."""
        named = {
            name: sent(sa.bindparam(f"c{place}")) if self._are_json[place] else sa.bindparam(f"c{place}")
            for place, name in enumerate(self.names)
        }
        this = self.table.sql.c[SESSION_ID] == sa.bindparam("this")
        others = {name: value for name, value in named.items() if name != SESSION_ID}
        update = self._compiled(sa.update(self.table.sql).values(others).where(this)) if others else ""
        return self._compiled(sa.insert(self.table.sql).values(named)), update

    def _compiled(self, statement: Any) -> str:
        # By place, since the driver gets tuples.
        style: Any = {"sqlite": "qmark"}.get(self.connection.dialect.name, "format")
        dialect: Any = type(self.connection.dialect)
        return str(statement.compile(dialect=dialect(paramstyle=style)))

    def _in_transaction(self, rows: Sequence[Row], write: Any) -> Counts:
        send(self.connection, self.begin)
        try:
            counts: Counts = write(rows)
        except BaseException:
            roll_back(self.connection)
            raise
        send(self.connection, "COMMIT")
        return counts

    def _many(self, statement: str, values: Sequence[tuple[Any, ...]]) -> None:
        # Past SQLAlchemy, which would make a dictionary of each row. Its errors are wanted all the same.
        driver: Any = self.connection.connection.driver_connection
        with driver_errors(self.connection, "INSERT"), closing(driver.cursor()) as cursor:
            cursor.executemany(statement, values)

    def _all_new(self, rows: Sequence[Row]) -> Counts:
        self._many(self._insert, [row.prepared for row in rows])
        return Counts(inserted=len(rows))

    def _one_by_one(self, rows: Sequence[Row]) -> Counts:
        counts, new, changed = Counts(), [], []
        there = self._there([row.key for row in rows])
        for row in rows:
            stored = there.get(row.key)
            if stored is None:
                new.append(row.prepared)
                continue
            values = self._values(row.line)
            if self.on_conflict == "skip" or self._is_same(values, stored):
                counts.unchanged += 1
            elif self.on_conflict == "error":
                counts.refused.append((row, TAKEN))
            elif self.on_conflict == "replace" or self._moment(values) > self._moment(stored):
                changed.append(row)
            else:
                counts.unchanged += 1
        self._many(self._insert, new)
        counts.inserted = len(new)
        counts.updated = len(changed)
        if changed:
            key = self._key
            self._many(self._update, [(*r.prepared[:key], *r.prepared[key + 1 :], r.prepared[key]) for r in changed])
        return counts

    def _values(self, data: bytes) -> Sequence[Any]:
        return self._parse(Line(0, data)).values

    def _there(self, keys: Sequence[str]) -> dict[str, Sequence[Any]]:
        columns = [self.table.sql.c[name] for name in self.names]
        found: dict[str, Sequence[Any]] = {}
        with as_bytes(self.connection):
            for at in range(0, len(keys), ASKED):
                this = self.table.sql.c[SESSION_ID].in_(keys[at : at + ASKED])
                for values in self.connection.execute(sa.select(*columns).where(this)):
                    data = self._make(values)
                    row = self._parse(Line(0, data))
                    found[row.key] = row.values
        return found

    def _is_same(self, one: Iterable[Any], other: Iterable[Any]) -> bool:
        pairs = zip(one, other, self._are_json, strict=True)
        return all(a == b or (is_json and _same_json(a, b)) for a, b, is_json in pairs)

    def _moment(self, values: Sequence[Any]) -> int:
        for name in ("updated_at", "created_at"):
            value = values[self.names.index(name)] if name in self.names else None
            if isinstance(value, int):
                return value
        return 0


def _same_json(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return False
    try:
        return _canonical(one) == _canonical(other)
    except (ValueError, RecursionError):
        return False


def _canonical(data: bytes) -> str:
    return json.dumps(json.loads(data), sort_keys=True)  # which tells 1 from 1.0 and from true


class IntoSQLite(RowLoader):
    """SQLite keeps whatever it gets, but for a number in a column of type JSON, or of integers."""

    begin = "BEGIN IMMEDIATE"
    batch_bytes = 12 << 20  # each one writes much of the indexes again, and waits for the disk

    def __init__(self, connection: Connection, *arguments: Any) -> None:
        super().__init__(connection, *arguments)
        self._plain = (self._insert, self._update)
        # JSON is sent as bytes, so that nobody decodes it and encodes it again, where that gives the same text.
        self._casting = self._statements(lambda bound: sa.cast(bound, sa.Text))
        self._casts = connection.scalar(sa.text("PRAGMA encoding")) == "UTF-8"
        self._cache = connection.scalar(sa.text("PRAGMA cache_size"))
        if self._cache == DEFAULT_CACHE:  # which the pages of the indexes would leave and enter all the time
            send(connection, f"PRAGMA cache_size = {CACHE}")

    def close(self) -> None:
        """As `Loader`, and so all else."""
        with suppress(exc.DBAPIError):
            send(self.connection, f"PRAGMA cache_size = {self._cache}")

    def load(self, rows: Sequence[Row]) -> Counts:
        """As `Loader`."""
        self._insert, self._update = self._casting if self._casts else self._plain
        if not self._casts:
            for row in rows:
                row.prepared = self._decoded(row.prepared)
        return super().load(rows)

    def _decoded(self, values: Sequence[Any]) -> tuple[Any, ...]:
        pairs = zip(values, self._are_json, strict=True)
        return tuple(value.decode() if is_json and type(value) is bytes else value for value, is_json in pairs)

    def json(self, value: bytes) -> Any:
        """As `RowLoader`."""
        if isinstance(value, Blob):
            self._casts = False  # from this batch on
        elif (
            not value.startswith(NO_NUMBER)
            and NUMBER.match(value)
            and not _is_plain_integer(value)
            and _is_number(value)
        ):
            raise Unfit("SQLite would make another number of it")
        return value

    def scalar(self, value: Any) -> Any:
        """As `RowLoader`."""
        if isinstance(value, Number):
            return float(value)
        if type(value) is int and value not in INTEGERS:
            raise Unfit("it is no integer of 64 bits")
        return value


def _is_plain_integer(data: bytes) -> bool:
    try:
        return str(int(data)).encode() == data and int(data) in INTEGERS
    except ValueError:
        return False


def _is_number(data: bytes) -> bool:
    try:
        float(data)
    except ValueError:
        return False
    return True


class IntoMySQL(RowLoader):
    """MySQL takes so many bytes in a statement; its JSON, which MariaDB has not, keeps numbers in 64 bits."""

    def __init__(self, connection: Connection, *arguments: Any) -> None:
        super().__init__(connection, *arguments)
        dialect: Any = connection.dialect
        self._rounds = not dialect.is_mariadb
        self._integers = [column.name for column in self.columns if column.live.lower().startswith(WHOLE)]
        facts = "SELECT @@max_allowed_packet, @@SESSION.sql_mode"
        self._packet, self._mode = connection.execute(sa.text(facts)).one()
        # Without it a server may cut a text that is too long, in silence.
        send(connection, "SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')")

    def close(self) -> None:
        """As `Loader`, and so all else."""
        with suppress(exc.DBAPIError):  # a connection that is gone has no session
            self.connection.execute(sa.text("SET SESSION sql_mode = :mode"), {"mode": self._mode})

    def prepare(self, values: Sequence[Any]) -> Any:
        """As `RowLoader`."""
        size = sum(_sent(value) for value in values)
        if size + OVERHEAD > self._packet:
            raise Unfit(f"it takes {size:,} bytes, and the server takes {self._packet:,} (max_allowed_packet)")
        for name in self._integers:
            if not isinstance(values[self.names.index(name)], (int, type(None))):
                raise Unfit(f"{name}: it is no integer")
        return super().prepare(values)

    def json(self, value: bytes) -> Any:
        """As `RowLoader`."""
        if isinstance(value, Blob):
            raise Unfit("bytes are no JSON")
        if self._rounds and LONG_NUMBER.search(value):
            refuse_rounded(value)
        return value.decode()

    def scalar(self, value: Any) -> Any:
        """As `RowLoader`."""
        return str(value) if isinstance(value, Number) else value


def refuse_rounded(data: bytes) -> None:
    """Refuse JSON with a number that is not the same as a double or an integer of 64 bits.

    Raises:
        Unfit
    """
    if is_json(data):
        json.loads(data, parse_int=_fitting_integer, parse_float=_fitting_float)


def _fitting_integer(text: str) -> None:
    if len(text) > 20 or int(text) not in range(-(2**63), 2**64):  # noqa: PLR2004 - digits and sign of 64 bits
        raise Unfit("MySQL would round a number in it")


def _fitting_float(text: str) -> None:
    try:
        same = Decimal(text) == Decimal(repr(float(text)))
    except InvalidOperation:
        same = False
    if not same:
        raise Unfit("MySQL would round a number in it")


def _sent(value: Any) -> int:
    if isinstance(value, str):
        value = value.encode()
    return len(value) + len(ESCAPED.findall(value)) + 4 if isinstance(value, bytes) else 24
