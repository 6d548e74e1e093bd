"""Sessions from a file into tables: batch by batch, each in a transaction; what cannot go in is named and set aside."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from itertools import chain
from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa
from sqlalchemy import exc

from storage_admin.database import dialect_of
from storage_admin.errors import BadExport, CannotImport, ColumnsMissing, NoSuchTable, NoTableYet
from storage_admin.executor import add_columns
from storage_admin.messages import query_error
from storage_admin.naming import TableRef, argument
from storage_admin.schema import Column, ColumnType
from storage_admin.sessions.ahead import ahead
from storage_admin.sessions.archive import read_manifest, some_left_out, verify
from storage_admin.sessions.copy_in import CopyIn
from storage_admin.sessions.formats import Header, Line, form_of
from storage_admin.sessions.growing import refuse_unfinished
from storage_admin.sessions.loading import TAKEN, load
from storage_admin.sessions.parsing import Parser, Unfit
from storage_admin.sessions.readers import reading
from storage_admin.sessions.rejects import Rejects
from storage_admin.sessions.row_loading import IntoMySQL, IntoSQLite
from storage_admin.sessions.tables import SESSION_ID, portable_type, session_tables
from storage_admin.sessions.writers import refuse_without_package
from storage_admin.texts import count_text

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    from sqlalchemy import Connection

    from storage_admin.admin import StorageAdmin
    from storage_admin.schema import TableName
    from storage_admin.sessions.loading import Loader, OnConflict
    from storage_admin.sessions.parsing import Row
    from storage_admin.sessions.readers import Section
    from storage_admin.sessions.tables import SessionColumn, SessionTable

    Told = Callable[[int, int | None, int], None]

SETTLED = "Of two sessions with one id, --on-conflict skip, newer or replace says which stays."
BATCH_ROWS = 10_000
NAMED = 1_000  # rows that were set aside, that are kept in memory
LOADERS: dict[str, type[CopyIn | IntoSQLite | IntoMySQL]] = {
    "postgresql": CopyIn,
    "sqlite": IntoSQLite,
    "mysql": IntoMySQL,
}


class Rejected(msgspec.Struct, frozen=True):
    """A row that did not go in: its line in the file, and why."""

    line: int
    session_id: str | None
    problem: str

    def __str__(self) -> str:
        named = f", session {self.session_id!r}" if self.session_id is not None else ""
        return f"line {self.line:,}{named}: {self.problem}"


class LoadedTable(msgspec.Struct):
    """What became of the sessions of a table. ``added`` are extra columns that it got for them."""

    table: TableName
    created: bool = False
    added: list[str] = msgspec.field(default_factory=list)
    read: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0


class Loaded(msgspec.Struct):
    """What became of a file. ``rejected`` has the first rows that did not go in, ``rejects`` is the file with all,
    ``old_rejects`` one that an earlier run left under this name.
    """

    tables: list[LoadedTable] = msgspec.field(default_factory=list)
    rejected: list[Rejected] = msgspec.field(default_factory=list)
    rejects: Path | None = None
    old_rejects: Path | None = None

    @property
    def sessions(self) -> int:
        """How many were read."""
        return sum(table.read for table in self.tables)


class Batch(msgspec.Struct):
    """Some lines: the rows that can go in, and those that cannot."""

    rows: list[Row] = msgspec.field(default_factory=list)
    bad: list[tuple[bytes, Rejected]] = msgspec.field(default_factory=list)
    read: int = 0
    size: int = 0


def batches(lines: Iterator[Line], parser: Parser, loader: Loader) -> Iterator[Batch]:
    """Lines, parsed and made ready, in batches in which each id is there once."""
    batch, keys = Batch(), set[str]()
    try:
        for each in lines:
            try:
                row = parser(each)
                row.prepared, row.values = loader.prepare(row.values), ()
            except Unfit as error:
                batch.bad.append((each.data, Rejected(each.number, _id_of(each), str(error))))
            else:
                # The same id again: the first has to be in the table before the second is compared with it.
                if row.key in keys:
                    yield batch
                    batch, keys = Batch(), set()
                batch.rows.append(row)
                keys.add(row.key)
            batch.read += 1
            batch.size += len(each.data)
            if batch.read == BATCH_ROWS or batch.size >= loader.batch_bytes:
                yield batch
                batch, keys = Batch(), set()
    except BadExport:  # what was read before that goes in
        yield batch
        raise
    yield batch


def _id_of(line: Line) -> str | None:
    """The id of a session that cannot go in, as far as one can be read."""
    with suppress(msgspec.MsgspecError):
        found = msgspec.json.decode((line.parts or {}).get(SESSION_ID, b"null"))
        return found if isinstance(found, str) else None
    return None


class Import:
    """One file on its way into a database. Arguments are those of `Sessions.load`."""

    def __init__(
        self,
        admin: StorageAdmin,
        path: Path | None,
        *,
        table: TableRef | None,
        on_conflict: OnConflict,
        rejects: Path,
        without: Collection[str],
        told: Told | None,
    ) -> None:
        self.admin, self.path, self.table, self.on_conflict, self.without = admin, path, table, on_conflict, without
        self.where = str(path) if path is not None else "standard input"
        self.loaded = Loaded()
        self.rejects = Rejects(rejects)
        self._told = told
        self._total: int | None = None
        self._bytes = 0

    def run(self) -> Loaded:
        """Read it, to its end. Raises as `Sessions.load`."""
        if self.path is not None:
            refuse_unfinished(self.path)
            refuse_without_package(*form_of(self.path))  # before a large file is compared with its manifest
        manifest = read_manifest(self.path) if self.path is not None and self.path.exists() else None
        if manifest is not None and self.path is not None:
            verify(self.path, manifest)
            self._total = manifest.sessions
        with reading(self.path, manifest) as sections:
            return self.take(sections)

    def take(self, sections: Iterable[Section]) -> Loaded:
        """Bring in these sections. Raises as `run`."""
        with self.rejects:
            try:
                for section in sections:
                    self._section(section)
            finally:
                self.loaded.rejects = self.rejects.finish()
        if count := sum(table.rejected for table in self.loaded.tables):
            them = "it is" if count == 1 else "they are"
            summary = f"{count_text(count, 'row')} did not go in; {them} in {self.loaded.rejects}:"
            taken = any(rejected.problem == TAKEN for rejected in self.loaded.rejected)
            raise some_left_out(summary, self.loaded.rejected, count, self.loaded, SETTLED if taken else "")
        self.loaded.old_rejects = self.rejects.left()
        return self.loaded

    def _section(self, section: Section) -> None:
        if section.header is None:  # before a table is made for it
            section = section._replace(lines=self._with_id(section.lines))
        with self._target(section.header) as (connection, table, report):
            columns = self._columns(table, section.header)
            loader = LOADERS[table.dialect.name](connection, table, columns, self.on_conflict)
            self.loaded.tables.append(report)
            self.rejects.header = section.header
            ignored = () if section.header is None else section.header.columns
            try:
                self._load(section.lines, Parser(columns, ignored), loader, report)
            except exc.DBAPIError as error:
                raise query_error(connection.engine.url, error, str(table.name)) from error
            finally:
                loader.close()

    def _with_id(self, lines: Iterator[Line]) -> Iterator[Line]:
        """The same lines, of which the first one is looked at.

        Raises:
            CannotImport: these are no sessions.
        """
        first = next(lines, None)
        if first is None:
            return lines
        if first.parts is not None and SESSION_ID not in first.parts:
            columns = ", ".join(first.parts) or "none"
            raise CannotImport(
                file=self.where, problem=f"its first row has no {SESSION_ID}; its columns are: {columns}"
            )
        return chain([first], lines)

    # --- where to ------------------------------------------------------------------------------------------

    @contextmanager
    def _target(self, header: Header | None) -> Iterator[tuple[Connection, SessionTable, LoadedTable]]:
        ref = self._ref(header)
        try:
            with self.admin.opened([ref], writable=True) as (_, [plan]):
                created = plan.live is None
        except NoSuchTable as error:
            raise NoTableYet(**error.facts) from None
        if created:
            self._create(ref, header)
        with self._table(ref) as (connection, table):
            added = self._add_extras(connection, table, header)
        with self._table(ref) as (connection, table):
            yield connection, table, LoadedTable(table.name, created, added)

    @contextmanager
    def _table(self, ref: TableRef) -> Iterator[tuple[Connection, SessionTable]]:
        with self.admin.opened([ref], writable=True) as (connection, plans):
            [table] = session_tables(plans, self.admin.catalog, dialect_of(connection.engine))
            yield connection, table

    def _add_extras(self, connection: Connection, table: SessionTable, header: Header | None) -> list[str]:
        """Give an empty table the columns that no version knows, where their types mean the same everywhere."""
        settled = {*self.without, *(column.name for column in table.columns)}
        columns = header.columns if header is not None else {}
        # MariaDB's JSON is a text, which nobody would know for JSON afterwards.
        unfit = ColumnType.JSON if getattr(connection.dialect, "is_mariadb", False) else None
        extras = [
            Column(name, kind)
            for name, live in columns.items()
            if name not in settled and (kind := portable_type(live)) and kind is not unfit
        ]
        if not extras or connection.scalar(sa.select(table.sql.c[SESSION_ID]).limit(1)) is not None:
            return []
        add_columns(connection, table.dialect, table.name, extras)
        return [column.name for column in extras]

    def _ref(self, header: Header | None) -> TableRef:
        if header is None:
            if self.table is None:
                raise CannotImport(file=self.where, problem="it does not say what table it is of: name it, TABLE=KIND")
            return self.table
        if self.table is not None:
            if self.loaded.tables:
                raise CannotImport(file=self.where, problem="it has several tables: leave out the name of one")
            return msgspec.structs.replace(self.table, kinds=self.table.kinds or header.kinds)
        schemas = self.admin.dialect.has_schemas
        schema = (self.admin.schema or header.table.schema) if schemas else None
        return TableRef(header.table.name, schema, header.kinds)

    def _create(self, ref: TableRef, header: Header | None) -> None:
        # By way of the versions whose columns the file has and the head has no longer: an upgrade keeps them.
        for version in self._versions_of(ref.kinds, header.columns if header is not None else ()):
            self.admin.upgrade([ref], to=version)
        self.admin.upgrade([ref])

    def _versions_of(self, kinds: Collection[str], columns: Collection[str]) -> list[int]:
        found = set()
        for kind in kinds:
            definitions = self.admin.catalog.definitions(kind)
            for name in {*columns} - definitions[-1][1].column_names:
                versions = [number for number, definition in definitions if name in definition.column_names]
                found.update(versions[-1:])
        return sorted(found)

    def _columns(self, table: SessionTable, header: Header | None) -> tuple[SessionColumn, ...]:
        """The columns that are filled.

        Raises:
            ColumnsMissing, CannotImport
        """
        if table.live.shape.primary_key != (SESSION_ID,):
            raise CannotImport(file=table.name, problem=f"it has no primary key on {SESSION_ID} to tell sessions by")
        usable = [column for column in table.columns if not column.generated and column.name not in self.without]
        if header is None:
            return tuple(usable)
        there = {column.name for column in table.columns}
        if unknown := sorted({*self.without} - there - {*header.columns}):
            raise CannotImport(file=self.where, problem=f"there is no column {', '.join(unknown)} to leave out")
        missing = [name for name in header.columns if name not in there and name not in self.without]
        if missing:
            raise ColumnsMissing(
                table=table.name,
                file=self.where,
                columns=", ".join(missing),
                advice=self._advice(table, missing),
                option=" ".join(f"--without {name}" for name in missing),
            )
        return tuple(column for column in usable if column.name in header.columns)

    def _advice(self, table: SessionTable, missing: Sequence[str]) -> str:
        """What brings these columns into a table: an upgrade, where a release has them."""
        known = self.admin.catalog.target_for(table.kinds, self.admin.catalog.head, table.dialect.name).column_names
        own = [name for name in missing if name not in known]
        it = "it" if len(missing) == 1 else "them"
        if len(own) == len(missing):
            return f"No release has {it}: add {it} to the table, or leave {it} out:"
        rest = f", add what no release has ({', '.join(own)})" if own else ""
        return f"Bring the table up to date (storage-admin upgrade {argument(table.name)}){rest}, or leave {it} out:"

    # --- rows ----------------------------------------------------------------------------------------------

    def _load(self, lines: Iterator[Line], parser: Parser, loader: Loader, report: LoadedTable) -> None:
        with ahead(batches(lines, parser, loader)) as found:
            for batch in found:
                report.read += batch.read
                counts = load(loader, batch.rows, self.admin.dialect)
                report.inserted += counts.inserted
                report.updated += counts.updated
                report.unchanged += counts.unchanged
                refused = [(row.line, Rejected(row.number, row.key, problem)) for row, problem in counts.refused]
                for data, rejected in sorted(batch.bad + refused, key=lambda one: one[1].line):
                    self._reject(report, data, rejected)
                self._bytes += batch.size
                if self._told is not None:
                    self._told(self.loaded.sessions, self._total, self._bytes)

    def _reject(self, report: LoadedTable, data: bytes, rejected: Rejected) -> None:
        report.rejected += 1
        self.rejects.add(data)
        if len(self.loaded.rejected) < NAMED:
            self.loaded.rejected.append(rejected)
