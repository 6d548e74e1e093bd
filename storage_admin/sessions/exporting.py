"""Which sessions go into a file, and as they were when."""

from __future__ import annotations

import json
from base64 import b64decode
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime, timezone
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from storage_admin.database import send
from storage_admin.errors import UsageError
from storage_admin.messages import driver_message
from storage_admin.sessions.archive import Archive, LeftOut, Manifest, TableCount, some_left_out
from storage_admin.sessions.copy_out import KEY, CopyOut, line_query
from storage_admin.sessions.driver import in_words
from storage_admin.sessions.formats import BASE64, OWN, Block, Header, LineMaker, StoredText, form_of, split
from storage_admin.sessions.sqlite_lines import SQLiteLines, has_rowid
from storage_admin.sessions.tables import SESSION_ID, one_of
from storage_admin.sessions.writers import compressor_for, refuse_without_package, writer_for
from storage_admin.tracing import span
from storage_admin.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from pathlib import Path

    from sqlalchemy import Connection

    from storage_admin.sessions.filters import Filter
    from storage_admin.sessions.tables import SessionColumn, SessionTable

    Told = Callable[[int, int], None]  # sessions, bytes so far
    Reading = Generator[Block, None, Any]  # which returns the id of the last row that was read, None if there was none

PAGE = 5_000  # rows of a keyset page
ROWS = 500  # that are fetched together, where they are streamed

# How a moment is held still.
SNAPSHOTS: dict[str, tuple[str, ...]] = {
    "postgresql": ("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",),
    "sqlite": ("BEGIN",),
    "mysql": (
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
    ),
}


def exported_columns(table: SessionTable) -> tuple[SessionColumn, ...]:
    """The columns that travel: all but those that the database computes from others.

    Raises:
        UsageError: one has the name that says something about a row.
    """
    if any(column.name == OWN for column in table.columns):
        raise UsageError(problem=f"{table.name} has a column {OWN}, a name that an export keeps for itself.")
    return tuple(column for column in table.columns if not column.generated)


def header(table: SessionTable) -> Header:
    """What is said of a table before its sessions."""
    columns = {column.name: column.live for column in exported_columns(table)}
    return Header(
        table=table.name, kinds=table.kinds, version=table.version, dialect=table.dialect.name, columns=columns
    )


@contextmanager
def snapshot(connection: Connection, dialect: str) -> Iterator[None]:
    """All that is read within is as it was at one moment."""
    for statement in SNAPSHOTS[dialect]:
        send(connection, statement)
    try:
        yield
    finally:
        with suppress(sa.exc.SQLAlchemyError):  # a broken connection holds nothing
            send(connection, "ROLLBACK")


class Source:
    """The sessions of one table that are meant, as lines. ``left_out`` has those that cannot be written.

    With ``keyset`` they are read page after page by the primary key, each in a statement of its own.
    """

    def __init__(self, connection: Connection, table: SessionTable, wanted: Filter, *, keyset: bool) -> None:
        self.connection, self.table, self.keyset = connection, table, keyset
        self.columns = exported_columns(table)
        self.condition = wanted.condition(table)
        self.key = table.sql.c[SESSION_ID]
        self.left_out: list[LeftOut] = []
        self._read: Callable[..., Reading] = self._streamed
        if table.dialect.name == "postgresql":
            self._read = self._copied
        elif table.dialect.name == "sqlite" and has_rowid(connection, table):
            self._read = self._made_by_sqlite

    def lines(self) -> Iterator[Block]:
        """The lines, some at a time.

        Raises:
            UsageError: ``keyset``, and there is no primary key to go by. QueryFailed, DatabaseBusy.
        """
        with in_words(self.connection, str(self.table.name)):
            yield from self._blocks()

    def _blocks(self) -> Iterator[Block]:
        if not self.keyset:
            yield from self._read(self.condition)
            return
        self._refuse_without_key("export it as one snapshot")
        if self.table.dialect.name == "sqlite":  # whose primary keys may be NULL, any number of times
            yield from self._read(sa.and_(self.condition, self.key.is_(None)))
        place: sa.ColumnElement[bool] = self.key.is_not(None)
        while (last := (yield from self._read(sa.and_(self.condition, place), PAGE))) is not None:
            place = self.key > last

    def only(self, ids: Sequence[Any]) -> Iterator[Block]:
        """The lines of those that have one of these ids; what can be prepared for the next ones is.

        Raises:
            DBAPIError. UsageError: there is no primary key.
        """
        self._refuse_without_key("its rows cannot be told from each other")
        if self.table.dialect.name == "postgresql":
            yield from self._all_of(self._of_ids, ids=list(ids))
        else:
            yield from self._read(sa.and_(self.condition, one_of(self.key, ids, self.table.dialect)))

    @cached_property
    def _of_ids(self) -> CopyOut:
        these = one_of(self.key, (), self.table.dialect, name="ids")
        return CopyOut(self.connection, line_query(self.table, self.columns, sa.and_(self.condition, these)))

    def _refuse_without_key(self, instead: str) -> None:
        if self.table.live.shape.primary_key != (SESSION_ID,):
            raise UsageError(problem=f"{self.table.name} has no primary key on {SESSION_ID} to go by; {instead}.")

    def _copied(self, condition: sa.ColumnElement[bool], limit: int | None = None) -> Reading:
        copy = CopyOut(self.connection, line_query(self.table, self.columns, condition, limit))
        yield from self._all_of(copy)
        return None if copy.last is None else json.loads(copy.last) if copy.last.startswith(KEY) else key_of(copy.last)

    def _all_of(self, copy: CopyOut, **values: Any) -> Iterator[Block]:
        """These lines; of rows that may be too large only the key came, and they are read one by one at the end."""
        yield from copy.lines(**values)
        for key in copy.large:
            yield from self._alone(json.loads(key))

    def _alone(self, key: str) -> Iterator[Block]:
        """A row that may be too large to be written out, so that only it fails."""
        query = line_query(self.table, self.columns, self.key == key, large=True)
        if not self.keyset:
            send(self.connection, "SAVEPOINT large")
        try:
            yield from CopyOut(self.connection, query).lines()
        except sa.exc.DBAPIError as error:
            if error.connection_invalidated:
                raise
            if not self.keyset:
                send(self.connection, "ROLLBACK TO SAVEPOINT large")
            self.left_out.append(LeftOut(self.table.name, key, driver_message(error)))

    def _made_by_sqlite(self, condition: sa.ColumnElement[bool], limit: int | None = None) -> Reading:
        maker = SQLiteLines(self.connection, self.table, self.columns)
        query = maker.query(condition)
        last = yield from maker.lines(query.order_by(self.key).limit(limit) if limit is not None else query)
        return _comparable(last)

    def _streamed(self, condition: sa.ColumnElement[bool], limit: int | None = None) -> Reading:
        names = [column.name for column in self.columns]
        query, last = sa.select(*(self.table.sql.c[name] for name in names)).where(condition), None
        if limit is not None:
            query = query.order_by(self.key).limit(limit)
        make = LineMaker({column.name: column.is_json for column in self.columns})
        with as_bytes(self.connection):
            result = self.connection.execute(query, execution_options={"stream_results": True, "yield_per": ROWS})
            for rows in result.partitions():
                yield Block.of([make(row) for row in rows])
                last = rows[-1][names.index(SESSION_ID)]
        return _comparable(last)


def _comparable(key: Any) -> Any:
    """A stored id, for a comparison. A text of SQLite that is no UTF-8 is a text all the same, and before any blob."""
    if not isinstance(key, (StoredText, bytearray)):
        return key
    try:
        return key.decode()
    except UnicodeDecodeError:
        return sa.cast(sa.literal(bytes(key), sa.LargeBinary), sa.Text)


@contextmanager
def as_bytes(connection: Connection) -> Iterator[None]:
    """Let SQLite give texts as bytes, which need not be UTF-8, told from its blobs by their class."""
    if connection.dialect.name != "sqlite":
        yield
        return
    driver: Any = connection.connection.driver_connection
    before, driver.text_factory = driver.text_factory, StoredText
    try:
        yield
    finally:
        driver.text_factory = before


def key_of(line: bytes) -> Any:
    """The session id of a line, as it is stored."""
    value = msgspec.json.decode(split(line)[SESSION_ID])
    return b64decode(value[BASE64]) if isinstance(value, dict) else value


# --- a whole file ------------------------------------------------------------------------------------------


class Exported(msgspec.Struct, frozen=True):
    """A file that was written. ``path`` is None where it went to standard output."""

    path: Path | None
    tables: tuple[TableCount, ...]
    bytes: int
    sha256: str
    left_out: tuple[LeftOut, ...] = ()

    @property
    def sessions(self) -> int:
        """How many are in it."""
        return sum(table.sessions for table in self.tables)


def export(
    connection: Connection,
    tables: Sequence[SessionTable],
    wanted: Filter,
    path: Path | None,
    *,
    as_of_one_moment: bool = True,
    force: bool = False,
    told: Told | None = None,
) -> Exported:
    """Write the sessions that are meant, and the manifest. Raises as `Sessions.export`."""
    form, compression = form_of(path) if path is not None else (".jsonl", "")
    refuse_without_package(form, compression)
    tables = [table for table in tables if wanted.fits(table)]
    if form != ".jsonl" and len(tables) != 1:
        named = ", ".join(str(table.name) for table in tables) or "none"
        raise UsageError(
            problem=f"A {form} file holds one table, and these are meant: {named}; take .jsonl, or name one."
        )
    with Archive(path, force=force, compressor=compressor_for(compression)) as archive:
        held = snapshot(connection, tables[0].dialect.name) if tables and as_of_one_moment else nullcontext()
        with held:
            counts, left_out = _write(connection, tables, wanted, form, archive, keyset=not as_of_one_moment, told=told)
        archive.finish()
        done = Exported(path, counts, archive.bytes, archive.sha256, left_out)
        archive.commit(_manifest(done, wanted, as_of_one_moment))
    if left_out:
        summary = f"{len(left_out)} sessions could not be written, and are not in the file:"
        raise some_left_out(summary, left_out, len(left_out), done)
    return done


def _write(
    connection: Connection,
    tables: Sequence[SessionTable],
    wanted: Filter,
    form: str,
    archive: Archive,
    *,
    keyset: bool,
    told: Told | None,
) -> tuple[tuple[TableCount, ...], tuple[LeftOut, ...]]:
    counts: list[TableCount] = []
    left_out: list[LeftOut] = []
    done = size = 0
    with writer_for(form, archive) as writer:
        for table in tables:
            source, count = Source(connection, table, wanted, keyset=keyset), 0
            with span("export", connection, table.name) as traced:
                writer.begin(header(table), source.columns)
                for block in source.lines():
                    refused = writer.write(block)
                    left_out += [LeftOut(table.name, str(key_of(data)), problem) for data, problem in refused]
                    count += block.sessions - len(refused)
                    if told is not None:
                        size += len(block.data)
                        told(done + count, size)
                writer.end(count)
                traced.set(sessions=count)
            done += count
            counts.append(TableCount(header(table), count))
            left_out += source.left_out
    return tuple(counts), tuple(left_out)


def _manifest(done: Exported, wanted: Filter, as_of_one_moment: bool) -> Manifest:
    return Manifest(
        tool=f"storage-admin {__version__}",
        file=done.path.name if done.path is not None else "",
        made=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        bytes=done.bytes,
        sha256=done.sha256,
        sessions=done.sessions,
        snapshot=as_of_one_moment,
        filter=wanted.given,
        tables=done.tables,
        left_out=done.left_out,
    )
