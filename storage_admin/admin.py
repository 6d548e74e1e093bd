"""StorageAdmin, the facade: what the command line does, as values."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Engine

from storage_admin import access, batch, history
from storage_admin.catalog import load_catalog
from storage_admin.changes import Status
from storage_admin.database import (
    connected,
    dialect_of,
    located,
    make_engine,
    parse_url,
)
from storage_admin.dialects import DIALECTS
from storage_admin.discovery import Finder, check_schema
from storage_admin.errors import (
    DatabaseError,
    NoSchemas,
    RoleNeedsPostgreSQL,
    RoleNeedsURL,
    RoleThroughPooler,
    UnsupportedDatabase,
    UpgradeFailed,
    UpgradeInterrupted,
)
from storage_admin.files import refuse_unwritable
from storage_admin.locking import Patience
from storage_admin.messages import displayed_url
from storage_admin.naming import TableRef, parse_table
from storage_admin.reports import DatabaseInfo, Survey, UpgradeReport
from storage_admin.tracing import span
from storage_admin.upgrading import Work
from storage_admin.waiting import wait_until_current

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sqlalchemy import Connection

    from storage_admin.access import Server
    from storage_admin.catalog import Catalog
    from storage_admin.changes import Plan
    from storage_admin.dialects import Dialect
    from storage_admin.doctor import Diagnosis
    from storage_admin.history import Revision
    from storage_admin.lockfile import LockFile
    from storage_admin.reports import Outcome
    from storage_admin.schema import TableName


NO_ROLES = {"sqlite": "SQLite", "mysql": "MySQL or MariaDB", "mariadb": "MySQL or MariaDB"}
REFUSED = (Status.DRIFTED, Status.AHEAD)


class StorageAdmin:
    """The session tables of one database.

    Where a method takes tables, None means all that are found, an empty list means none, and a text is one table.

    ``database`` is a URL or an SQLAlchemy engine; an engine is used as it is and never disposed of. ``schema`` limits
    the search and is where a table without a schema is created (on PostgreSQL `ai` by default, as in Agno).
    ``create`` lets a SQLite file come into being; otherwise a missing file is an error. ``catalog`` replaces the
    shipped versions. ``role`` is what each session on a server takes on (SET ROLE), as the owner of the tables.

    Raises:
        BadDatabaseURL, UnsupportedDatabase, RoleNeedsURL: at once. All else is raised by the methods.
    """

    def __init__(
        self,
        database: str | URL | Engine,
        *,
        schema: str | None = None,
        catalog: Catalog | None = None,
        create: bool = False,
        role: str | None = None,
    ) -> None:
        self.catalog = load_catalog() if catalog is None else catalog
        self.schema = schema
        self._create = create
        self._engine = database if isinstance(database, Engine) else None
        if isinstance(database, Engine):
            self._url = database.url
        elif isinstance(database, (str, URL)):
            self._url = parse_url(database) if isinstance(database, str) else database
        else:
            raise TypeError(f"a URL or an SQLAlchemy engine is needed, not {type(database).__name__}")
        if role is not None and (title := NO_ROLES.get(self._url.get_backend_name())) is not None:
            raise RoleNeedsPostgreSQL(role=role, title=title)
        if role is not None and self._engine is not None:
            raise RoleNeedsURL(role=role)
        self._role = role

    @property
    def url(self) -> URL:
        """Where its database is."""
        return self._url

    @property
    def dialect(self) -> Dialect:
        """What is known of its database."""
        try:
            return DIALECTS[self._url.get_backend_name()]
        except KeyError:
            supported = ", ".join(DIALECTS)
            raise UnsupportedDatabase(name=self._url.get_backend_name(), supported=supported) from None

    def inspect(self, tables: Iterable[str | TableRef] | None = None) -> Survey:
        """Look at the named tables, or at all, with row estimates and sizes.

        Raises:
            NoTablesFound, NoSuchTable, NotATable, NotASessionTable, KindNeeded, CannotConnect
        """
        return self._survey(tables, details=True)

    def plan(
        self, tables: Iterable[str | TableRef] | None = None, *, to: int | None = None, only_indexes: bool = False
    ) -> Survey:
        """Plan the way of the named tables, or of all, to a version (the head without one). Raises as `inspect`.

        With ``only_indexes`` the changes are those that `repair` would make.
        """
        return self._survey(tables, to=to, only_indexes=only_indexes)

    def check(self, tables: Iterable[str | TableRef] | None = None) -> Survey:
        """Compare the named tables, or all, with the head; on PostgreSQL two queries at most. Raises as `inspect`."""
        return self._survey(tables)

    def upgrade(
        self,
        tables: Iterable[str | TableRef] | None = None,
        *,
        to: int | None = None,
        patience: Patience | None = None,
        index_limit: int | None = None,
        jobs: int = 1,
        progress: Callable[[Outcome, int, int], None] | None = None,
    ) -> UpgradeReport:
        """Upgrade the named tables, or all that are outdated; create a missing one that is named with its kinds.

        One transaction per table, and after it the index builds of a large table. A table that cannot be upgraded does
        not stop the others. ``jobs`` tables are worked on at a time, each on a connection of its own. ``progress`` is
        called after each table that had something pending: with its outcome, how many are done, and how many there are.
        With ``index_limit`` an index that is missing on a table of more rows is not built, but reported in
        ``plan.deferred``.

        Raises:
            UpgradeFailed: at least one table could not be upgraded; ``report`` says what became of each.
            ReadOnlyServer: a standby, or a session that may only read. And as `inspect`.
            UpgradeInterrupted: a KeyboardInterrupt; its ``report`` says what was done before it.
        """
        return self._work(tables, patience or Patience(), jobs=jobs, progress=progress, to=to, index_limit=index_limit)

    def repair(
        self,
        tables: Iterable[str | TableRef] | None = None,
        *,
        patience: Patience | None = None,
        jobs: int = 1,
        progress: Callable[[Outcome, int, int], None] | None = None,
    ) -> UpgradeReport:
        """Build the missing indexes of the named tables, or of all, and rebuild invalid ones. Nothing else is changed.

        An index on a column that is missing is left, with all other changes, in ``plan.beyond_repair``. A table that is
        drifted or ahead is refused, whether it lacks an index or not. The arguments
        are those of `upgrade`, and so are the ways in which it fails; no table is ever created.

        Raises:
            UpgradeFailed, UpgradeInterrupted, ReadOnlyServer. And as `inspect`.
        """
        return self._work(tables, patience or Patience(), jobs=jobs, progress=progress, only_indexes=True)

    def wait(
        self,
        tables: Iterable[str | TableRef] | None = None,
        *,
        timeout: float = 60.0,
        interval: float = 1.0,
        fail_fast: bool = False,
        told: Callable[[str], None] | None = None,
    ) -> Survey:
        """Wait until the named tables, or all, are current; the database need not be there yet. Changes nothing.

        A look each ``interval`` seconds or so, on a connection of its own, until ``timeout`` seconds are over. ``told``
        gets what is waited for, when that changes. ``fail_fast`` gives up at once on a table that no upgrade mends.

        Raises:
            NotCurrent: the time is over. CannotConnect, QueryFailed, NoSuchFile: and nothing could be read to the end.
            NotATable, NotASessionTable, AmbiguousTable, KindNeeded: at once.
        """
        refs = self._refs(tables)
        return wait_until_current(
            lambda: self._survey(refs, measure=False),
            database=displayed_url(self._url),
            timeout=timeout,
            interval=interval,
            fail_fast=fail_fast,
            told=told,
        )

    def doctor(self, *, long: float = 60.0) -> Diagnosis:
        """Look at whatever is wrong, or would be in the way of an upgrade, with what to do about it. Changes nothing.

        A transaction or a lock that is older than ``long`` seconds is worth a word. A database that cannot be reached
        is a finding too.

        Raises:
            UsageError: the driver is missing, or the schema is one where there are none.
        """
        from storage_admin import doctor

        shown = displayed_url(self._url)
        try:
            engine = self._open()
            with connected(engine) as connection:
                finder = self._finder(engine, connection, measure=False, careful=True)
                return doctor.examine(finder, self._url, self._info(engine, connection), long=long)
        except DatabaseError as error:
            return doctor.unreachable(error, self._url, shown)

    def history(self, table: str | TableRef | None = None) -> tuple[Revision, ...]:
        """The recorded upgrades of one table, or of all, oldest first. Empty where nothing was ever recorded.

        Raises:
            CannotConnect, BadTableName, NoSuchTable. LogNotReadable: with the GRANT that helps.
        """
        ref = self._ref(table) if table is not None else None
        engine = self._open()
        with connected(engine) as connection:
            finder = self._finder(engine, connection)
            schemas = finder.log_schemas()
            history.refuse_unreadable(connection, finder.dialect, schemas, finder.shown)
            revisions = history.list_revisions(connection, schemas)
            if ref is None:
                return revisions
            check_schema(ref, finder.dialect)
            found = tuple(revision for revision in revisions if finder.names(ref, revision.table))
            if not found:
                finder.survey([ref])  # says that there is no such table, if that is why
        return found

    def lock(self, tables: Iterable[str | TableRef] | None = None) -> LockFile:
        """The named tables, or all, as they are now, as `lockfile` compares them later. Raises as `inspect`."""
        from storage_admin.lockfile import lock_tables

        with self.opened(tables) as (connection, plans):
            return lock_tables(connection, self.dialect, plans, self.catalog.head)

    @contextmanager
    def opened(
        self, tables: Iterable[str | TableRef] | None = None, *, writable: bool = False
    ) -> Iterator[tuple[Connection, tuple[Plan, ...]]]:
        """A connection in autocommit mode, and the plans of the named tables, or of all that are found. Raises as
        `inspect`; ReadOnlyServer and ReadOnlyFile where it is to be ``writable`` and is not.
        """
        refs = self._refs(tables)
        engine = self._open(writable=writable)
        with connected(engine) as connection:
            finder = self._finder(engine, connection, measure=False)
            plans, _ = finder.survey(refs)
            if writable:
                refuse_unwritable(self._url)
                access.refuse_read_only(access.server_facts(connection, finder.dialect), finder.dialect, finder.shown)
            yield connection, plans

    # --- inside --------------------------------------------------------------------------------------------

    def _survey(
        self,
        tables: Iterable[str | TableRef] | None,
        *,
        to: int | None = None,
        details: bool = False,
        **options: bool,
    ) -> Survey:
        refs = self._refs(tables)
        engine = self._open()
        with connected(engine) as connection:
            finder = self._finder(engine, connection, **options)
            plans, notes = finder.survey(refs, to=to, details=details)
            return Survey(self._info(engine, connection), self.catalog.head, plans, notes)

    def _work(
        self,
        tables: Iterable[str | TableRef] | None,
        patience: Patience,
        *,
        jobs: int,
        progress: Callable[[Outcome, int, int], None] | None,
        to: int | None = None,
        index_limit: int | None = None,
        only_indexes: bool = False,
    ) -> UpgradeReport:
        refs = self._refs(tables)
        engine = self._open(writable=True)
        with connected(engine) as connection:
            finder = self._finder(engine, connection, index_limit=index_limit, only_indexes=only_indexes)
            plans, notes = finder.survey(refs, to=to)
            server = self._server(finder, plans)
            done: dict[TableName, Outcome] = {}
            work = Work(engine, finder, patience, server, owns_engine=self._engine is None)
            wanted = [plan for plan in plans if plan.status is not Status.CURRENT]
            if only_indexes:
                wanted = [plan for plan in wanted if plan.changes or plan.deferred or plan.status in REFUSED]
            related = any(facts.parents for facts in finder.facts.values())
            jobs = jobs if finder.dialect.writes_in_parallel and not related else 1
            with span(work.operation, connection) as traced:
                traced.set(tables=len(wanted))
                try:
                    batch.run(finder.parents_first(wanted), work.line, jobs, progress, done, work.stopped)
                except KeyboardInterrupt as interrupt:
                    work.interrupted(interrupt)
            outcomes = tuple(work.outcomes(plans, done, wanted))
            info = self._info(engine, connection)
        report = UpgradeReport(info, self.catalog.head, outcomes, (*notes, *work.notes()))
        if work.interrupt is not None:
            raise UpgradeInterrupted(report, work.interrupt, work.done)
        if report.failures:
            raise UpgradeFailed(report.failures, report, work.done)
        return report

    def _refs(self, tables: Iterable[str | TableRef] | None) -> tuple[TableRef, ...] | None:
        if tables is None:
            return None
        named = [tables] if isinstance(tables, str) else tables
        return tuple(self._ref(table) for table in named)

    def _ref(self, table: str | TableRef) -> TableRef:
        return parse_table(table, self.catalog) if isinstance(table, str) else table

    def _open(self, *, writable: bool = False) -> Engine:
        if self._engine is not None:
            return self._engine
        return make_engine(self._url, writable=writable, create=self._create and writable, role=self._role)

    def _finder(self, engine: Engine, connection: Connection, **options: Any) -> Finder:
        dialect = dialect_of(engine)
        if self.schema not in (None, "main") and not dialect.has_schemas:
            raise NoSchemas(title=dialect.title, schema=self.schema)
        shown = displayed_url(located(self._url, connection))
        return Finder(connection, dialect, self.catalog, self.schema, shown, **options)

    def _info(self, engine: Engine, connection: Connection) -> DatabaseInfo:
        version = ".".join(str(part) for part in connection.dialect.server_version_info or ())
        shown, product = (
            displayed_url(located(self._url, connection)),
            access.product_of(connection, dialect_of(engine)),
        )
        return DatabaseInfo(engine.dialect.name, version, shown, product)

    def _server(self, finder: Finder, plans: Iterable[Plan]) -> Server | None:
        """The server, where there is something to do: one that takes no changes is refused before anything is sent."""
        if not any(plan.runnable for plan in plans):
            return None
        refuse_unwritable(self._url)
        access.refuse_old(finder.connection, finder.dialect, finder.shown)
        server = access.server_facts(finder.connection, finder.dialect)
        access.refuse_read_only(server, finder.dialect, finder.shown)
        if server is not None and server.pooled and self._role is not None:
            raise RoleThroughPooler(role=self._role, session_role=server.session_role)
        return server
