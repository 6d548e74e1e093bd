"""Sessions, the facade: what `storage-admin sessions` does, as values."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from storage_admin.admin import StorageAdmin
from storage_admin.database import dialect_of
from storage_admin.errors import BadExport, DatabaseBusy, NoSuchSession, UsageError
from storage_admin.files import path_of
from storage_admin.locking import Patience, attempts
from storage_admin.messages import displayed_url
from storage_admin.naming import parse_table
from storage_admin.sessions import editing, listing, reading
from storage_admin.sessions.filters import Filter
from storage_admin.sessions.statistics import Statistics, statistics
from storage_admin.sessions.tables import SESSION_ID, session_tables
from storage_admin.tracing import span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from sqlalchemy import URL, Connection, Engine

    from storage_admin.sessions.copying import Copied
    from storage_admin.sessions.editing import Changed
    from storage_admin.sessions.exporting import Exported
    from storage_admin.sessions.importing import Loaded
    from storage_admin.sessions.listing import Page, SessionSummary, Sort
    from storage_admin.sessions.loading import OnConflict
    from storage_admin.sessions.pruning import Candidates, Old, PruneReport
    from storage_admin.sessions.reading import Session
    from storage_admin.sessions.tables import SessionTable


class Sessions:
    """The sessions in the tables of one database. Where a method takes tables, None means all that are found,
    and a text is one table.

    ``database`` is a URL, an SQLAlchemy engine, or a `StorageAdmin`.

    Raises:
        As `StorageAdmin`, and the methods as `StorageAdmin.inspect`.
    """

    def __init__(self, database: str | URL | Engine | StorageAdmin) -> None:
        self.admin = database if isinstance(database, StorageAdmin) else StorageAdmin(database)

    def page(
        self,
        wanted: Filter | None = None,
        tables: Iterable[str] | None = None,
        *,
        sort: Sort | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> Page:
        """One page of sessions, the last used first; ``after`` is the ``next`` of the page before.

        Without ``sort`` it is by the last activity, or by id where that would mean to read a large table.

        Raises:
            UsageError: ``after`` is not what a page of this listing gave.
        """
        with self._opened(tables) as (connection, found):
            return listing.page(connection, found, wanted or Filter(), sort=sort, limit=limit, after=after)

    def iterate(
        self, wanted: Filter | None = None, tables: Iterable[str] | None = None, *, sort: Sort = "id"
    ) -> Iterator[SessionSummary]:
        """All sessions, a page at a time, on a connection that is given back at the end."""
        with self._opened(tables) as (connection, found):
            after = None
            while True:
                page = listing.page(connection, found, wanted or Filter(), sort=sort, limit=500, after=after)
                yield from page.sessions
                after = page.next
                if after is None:
                    return

    def show(self, session_id: str, tables: Iterable[str] | None = None) -> tuple[Session, ...]:
        """The session of an id; several where several tables have one.

        Raises:
            NoSuchSession
        """
        with self._opened(tables) as (connection, found):
            sessions = reading.read(connection, found, session_id)
        if not sessions:
            raise NoSuchSession(session_id=session_id, tables=", ".join(str(table.name) for table in found))
        return sessions

    def count(self, wanted: Filter | None = None, tables: Iterable[str] | None = None) -> tuple[Changed, ...]:
        """How many sessions each table has that are meant; tables without one are left out."""
        with self._opened(tables) as (connection, found):
            return editing.count(connection, found, wanted or Filter())

    def rename(self, session_id: str, name: str, tables: Iterable[str] | None = None) -> tuple[Changed, ...]:
        """Name a session, in each table that has it. It does not count as used.

        Raises:
            NoSuchSession
        """
        with self._opened(tables, writable=True) as (connection, found):
            done = editing.rename(connection, found, session_id, name)
        if not any(changed.sessions for changed in done):
            raise NoSuchSession(session_id=session_id, tables=", ".join(str(table.name) for table in found))
        return tuple(changed for changed in done if changed.sessions)

    def delete(self, wanted: Filter, tables: Iterable[str] | None = None) -> tuple[Changed, ...]:
        """Delete the sessions that are meant; tables without one are left out.

        Raises:
            UsageError: the filter is empty.
        """
        if wanted.empty:
            raise UsageError(problem="An empty filter would delete every session; name ids or a user.")
        with self._opened(tables, writable=True) as (connection, found):
            done = editing.delete(connection, found, wanted)
        return tuple(changed for changed in done if changed.sessions)

    def export(
        self,
        path: str | Path | None,
        wanted: Filter | None = None,
        tables: Iterable[str] | None = None,
        *,
        snapshot: bool = True,
        force: bool = False,
        told: Callable[[int, int | None, int], None] | None = None,
    ) -> Exported:
        """Write sessions into a file, whose name says the format, or, with None, as JSONL to standard output.

        All of it is as it was at one moment; without ``snapshot`` it is read page by page, and no transaction is held
        open. The file has its name only when it is whole and on the disk; a file that has it already is replaced only
        with ``force``. ``told`` gets the number of sessions so far, about how many there are, if that is known, and the
        bytes so far.

        Raises:
            UsageError: the name says no format, or the format holds one table only. ExtraMissing: it needs a package.
            FileExists, FileInUse, NotWrittenToFile. SomeLeftOut: some sessions cannot be written; the others are.
        """
        from storage_admin.sessions.exporting import export

        place = Path(path) if path is not None else None
        wanted, tables = wanted or Filter(), tables if tables is None or isinstance(tables, str) else list(tables)
        counted = _with_total(told, self._estimate(wanted, tables)) if told is not None else None
        with self._opened(tables) as (connection, found), span("export", connection) as traced:
            done = export(connection, found, wanted, place, as_of_one_moment=snapshot, force=force, told=counted)
            traced.set(tables=len(done.tables), sessions=done.sessions, bytes=done.bytes)
        return done

    def load(
        self,
        path: str | Path | None,
        table: str | None = None,
        *,
        on_conflict: OnConflict = "error",
        rejects: str | Path | None = None,
        without: Iterable[str] = (),
        told: Callable[[int, int | None, int], None] | None = None,
    ) -> Loaded:
        """Bring the sessions of a file into their tables, or into a named one; with None, JSONL from standard input.

        A file with a manifest is compared with it first. A table that is not there is created. Each batch is a
        transaction; after a failure the same again brings in what is missing, since a session that is there already and
        equal is left. One that is there and differs is refused (``error``), left (``skip``), replaced if it was used
        before that of the file (``newer``), or replaced in any case (``replace``). A row that cannot go in is written
        to the file ``rejects`` (FILE.rejects.jsonl), and the others go in. Columns of the file that are in ``without``
        are left out. ``told`` as in `export`.

        Raises:
            SomeLeftOut: rows were rejected. BadExport: the file is damaged, or not whole. UnfinishedArchive: a prune
            that was cut off left it. ExtraMissing: it needs a package. ColumnsMissing: the table lacks columns.
            CannotImport: it is not said into which table. And as `StorageAdmin.upgrade`.
        """
        from storage_admin.sessions.importing import Import

        place = Path(path) if path is not None else None
        if place is not None and place.is_dir():
            raise BadExport(file=place, problem="it is a folder")
        refuse_without_id(without)
        aside = Path(rejects) if rejects is not None else Path(f"{place or 'storage-admin'}.rejects.jsonl")
        ref = parse_table(table, self.admin.catalog) if table is not None else None
        return Import(
            self.admin, place, table=ref, on_conflict=on_conflict, rejects=aside, without=frozenset(without), told=told
        ).run()

    def copy(
        self,
        target: str | URL | Engine | StorageAdmin,
        wanted: Filter | None = None,
        tables: Iterable[str] | None = None,
        *,
        on_conflict: OnConflict = "error",
        rejects: str | Path = "copy.rejects.jsonl",
        without: Iterable[str] = (),
        verify_only: bool = False,
        told: Callable[[int, int | None, int], None] | None = None,
    ) -> Copied:
        """Bring sessions into another database, as they are at one moment, and compare the two at the end.

        Tables that are not there are created, others are upgraded first; so is a file of SQLite. The same again brings
        in what is missing. With ``verify_only`` nothing is written. The other arguments are those of `load`.

        Raises:
            CopyDiffers: the target does not hold all of it, but for what was to be kept there; its ``result`` is what
            would be returned. SomeLeftOut: rows were rejected, and nothing was compared. And as `load`, and as
            `StorageAdmin.upgrade`.
        """
        from storage_admin.sessions.copying import Copied, Copy, refuse_differences

        admin = target if isinstance(target, StorageAdmin) else StorageAdmin(target, create=not verify_only)
        refuse_without_id(without)
        if is_same_database(admin.url, self.admin.url):
            raise UsageError(problem="That is the same database; a copy goes into another one.")
        wanted = wanted or Filter()
        copy = Copy(
            admin,
            None,
            table=None,
            on_conflict=on_conflict,
            rejects=Path(rejects),
            without=frozenset(without),
            told=told,
        )
        with self._opened(tables) as (connection, found):
            fitting = [table for table in found if wanted.fits(table)]
            loaded = copy.copy(connection, fitting, wanted) if fitting and not verify_only else None
            done = Copied(loaded, copy.verify(connection, fitting, wanted))
        refuse_differences(done, displayed_url(self.admin.url), displayed_url(admin.url), on_conflict)
        return done

    def prunable(
        self, old: Old, tables: Iterable[str] | None = None, *, archive: str | Path | None = None
    ) -> tuple[Candidates, ...]:
        """What `prune` would remove of each table that has something old. It reads whole tables.

        Raises:
            As `refuse_archive`, where the ``archive`` is named.
        """
        from storage_admin.sessions.pruning import candidates

        if archive is not None:
            self.refuse_archive(old, archive)
        with self._opened(tables) as (connection, found):
            counted = [candidates(connection, table, old) for table in found if old.wanted.fits(table)]
        return tuple(each for each in counted if each.sessions)

    def refuse_archive(self, old: Old, archive: str | Path) -> None:
        """Refuse what `prune` would refuse of an archive, before anything is counted or written.

        Raises:
            UsageError: it is not named as JSONL. ExtraMissing: it needs a package. FileExists.
            NotTheSamePrune: it is what another prune left.
        """
        from storage_admin.sessions.pruning import archive_of

        archive_of(self.admin.url, old, Path(archive)).refuse()

    def prune(
        self,
        old: Old,
        tables: Iterable[str] | None = None,
        *,
        archive: str | Path | None,
        patience: Patience | None = None,
        max_rows: int | None = None,
        pause: float = 0.0,
        told: Callable[[int, int | None, int], None] | None = None,
        total: int | None = None,
    ) -> PruneReport:
        """Remove old sessions in small transactions, while others read and write; a session that is used meanwhile
        stays. With ``archive`` each is on the disk before it is deleted; `restore` brings the file back.

        What is cut off leaves ARCHIVE.partial, and the same call goes on with it. ``pause`` are seconds between two
        transactions, for replicas to follow. ``told`` gets the number removed, ``total``, and the bytes archived.

        Raises:
            UsageError: the archive is not named as JSONL. ExtraMissing: it needs a package. Nothing is removed then.
            FileExists, FileInUse, NotWrittenToFile. LockNotObtained: a table was held too long. ConnectionLost.
        """
        from storage_admin.sessions.pruning import prune

        path = Path(archive) if archive is not None else None
        options = {"max_rows": max_rows, "pause": pause, "told": told, "total": total}
        opened = self._opened_patiently(tables, patience or Patience())
        with opened as (connection, found), span("prune", connection) as traced:
            report = prune(connection, found, old, path, patience, **options)
            traced.set(tables=len(report.tables), sessions=report.sessions, left=report.left)
        return report

    def statistics(
        self,
        wanted: Filter | None = None,
        tables: Iterable[str] | None = None,
        *,
        retentions: Sequence[int] = (30, 90, 180, 365),
    ) -> tuple[Statistics, ...]:
        """Each table in numbers. It reads each row twice. ``retentions`` are numbers of days to be tried."""
        wanted, now = wanted or Filter(), int(time.time())
        with self._opened(tables) as (connection, found):
            return tuple(
                statistics(connection, table, wanted, now=now, retentions=retentions)
                for table in found
                if wanted.fits(table)
            )

    # --- inside --------------------------------------------------------------------------------------------

    def _estimate(self, wanted: Filter, tables: Iterable[str] | None) -> int | None:
        if not wanted.empty:
            return None
        if self.admin.dialect.estimates_rows:
            rows = [plan.live.rows for plan in self.admin.inspect(tables).plans if plan.live is not None]
            return None if None in rows else sum(filter(None, rows))
        with self._opened(tables) as (connection, found):  # the sizes, which `inspect` measures too, take a second
            return sum(connection.scalar(sa.select(sa.func.count()).select_from(each.sql)) or 0 for each in found)

    @contextmanager
    def _opened(
        self, tables: Iterable[str] | None, *, writable: bool = False
    ) -> Iterator[tuple[Connection, tuple[SessionTable, ...]]]:
        with self.admin.opened(tables, writable=writable) as (connection, plans):
            yield connection, session_tables(plans, self.admin.catalog, dialect_of(connection.engine))

    @contextmanager
    def _opened_patiently(
        self, tables: Iterable[str] | None, patience: Patience
    ) -> Iterator[tuple[Connection, tuple[SessionTable, ...]]]:
        """To be written into, as soon as a file of SQLite lets its tables be looked at."""
        busy: DatabaseBusy | None = None
        for _ in attempts(patience):
            with ExitStack() as stack:
                try:
                    opened = stack.enter_context(self._opened(tables, writable=True))
                except DatabaseBusy as error:
                    busy = error
                    continue
                yield opened
                return
        raise busy or AssertionError("there is always one attempt")


def _with_total(told: Callable[[int, int | None, int], None], total: int | None) -> Callable[[int, int], None]:
    return lambda done, size: told(done, total, size)


def is_same_database(one: URL, other: URL) -> bool:
    """Whether two URLs are known to name the same database: as texts, or as files."""
    paths = [path_of(url) for url in (one, other) if url.get_backend_name() == "sqlite" and url.database]
    with suppress(OSError):
        if len(paths) > 1 and paths[0].samefile(paths[1]):
            return True
    return one == other


def refuse_without_id(without: Iterable[str]) -> None:
    """Refuse to leave out what tells sessions apart.

    Raises:
        UsageError
    """
    if SESSION_ID in without:
        raise UsageError(problem=f"{SESSION_ID} cannot be left out: sessions are told apart by it.")
