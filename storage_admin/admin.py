"""StorageAdmin, the facade: what the command line does, as values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import URL, Engine, exc

from storage_admin import history
from storage_admin.catalog import load_catalog
from storage_admin.changes import Status
from storage_admin.database import connected, dialect_of, displayed_url, driver_message, make_engine, parse_url
from storage_admin.discovery import Finder, check_schema
from storage_admin.errors import NoSchemas, QueryFailed, StorageAdminError, UpgradeFailed
from storage_admin.executor import apply
from storage_admin.locking import Patience
from storage_admin.naming import TableRef, parse_table
from storage_admin.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from storage_admin.catalog import Catalog
    from storage_admin.changes import Plan
    from storage_admin.history import Revision


class DatabaseInfo(msgspec.Struct, frozen=True):
    """The database that was looked at. ``url`` holds no password."""

    dialect: str
    server_version: str
    url: str


class Survey(msgspec.Struct, frozen=True):
    """Every table that was asked for, compared with the catalogue. ``notes`` are worth a reader's while."""

    database: DatabaseInfo
    head: int
    plans: tuple[Plan, ...]
    notes: tuple[str, ...] = ()

    @property
    def status(self) -> Status:
        """The gravest status of all: ahead, drifted, outdated (a missing table counts as that), current."""
        found = {plan.status for plan in self.plans}
        grave = (Status.AHEAD, Status.DRIFTED, Status.OUTDATED)
        if Status.MISSING in found:
            found.add(Status.OUTDATED)
        return next((status for status in grave if status in found), Status.CURRENT)


class Outcome(msgspec.Struct, frozen=True):
    """What `upgrade` did with one table. ``plan`` is what was pending; ``error`` says why it is pending still."""

    plan: Plan
    statements: tuple[str, ...] = ()
    seconds: float = 0.0
    error: StorageAdminError | None = None

    @property
    def changed(self) -> bool:
        """Whether anything was done."""
        return bool(self.statements)

    def __str__(self) -> str:
        done = "; ".join(map(str, self.plan.changes)) if self.changed else "nothing to do"
        return f"{self.plan.table} ({', '.join(self.plan.kinds)}): {self.error or done}"


class UpgradeReport(msgspec.Struct, frozen=True):
    """What `upgrade` did, table by table."""

    database: DatabaseInfo
    head: int
    outcomes: tuple[Outcome, ...]
    notes: tuple[str, ...] = ()

    @property
    def failures(self) -> tuple[StorageAdminError, ...]:
        """The errors of the tables that could not be upgraded."""
        return tuple(outcome.error for outcome in self.outcomes if outcome.error is not None)


class StorageAdmin:
    """The session tables of one database.

    Where a method takes tables, None means all that are found, and an empty list means none.

    ``database`` is a URL or an SQLAlchemy engine; an engine is used as it is and never disposed of. ``schema`` limits
    the search and is where a table without a schema is created (on PostgreSQL `ai` by default, as in Agno).
    ``create`` lets a SQLite file come into being; otherwise a missing file is an error. ``catalog`` replaces the
    shipped versions.

    Raises:
        BadDatabaseURL, UnsupportedDatabase: at once. All else is raised by the methods.
    """

    def __init__(
        self,
        database: str | URL | Engine,
        *,
        schema: str | None = None,
        catalog: Catalog | None = None,
        create: bool = False,
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

    def inspect(self, tables: Iterable[str | TableRef] | None = None) -> Survey:
        """Look at the named tables, or at all, with row estimates and sizes.

        Raises:
            NoTablesFound, NoSuchTable, NotATable, NotASessionTable, KindNeeded, CannotConnect
        """
        return self._survey(tables, details=True)

    def plan(self, tables: Iterable[str | TableRef] | None = None, *, to: int | None = None) -> Survey:
        """Plan the way of the named tables, or of all, to a version (the head without one). Raises as `inspect`."""
        return self._survey(tables, to=to)

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
    ) -> UpgradeReport:
        """Upgrade the named tables, or all that are outdated; create a missing one that is named with its kinds.

        One transaction per table. A table that cannot be upgraded does not stop the others. With ``index_limit`` an
        index that is missing on a table of more rows is not built, but reported in ``plan.deferred``.

        Raises:
            UpgradeFailed: at least one table could not be upgraded; ``report`` says what became of each.
            And as `inspect`.
        """
        refs = self._refs(tables)
        engine = self._open(writable=True)
        with connected(engine) as connection:
            finder = self._finder(engine, connection, index_limit)
            plans, notes = finder.survey(refs, to=to)
            unrecorded: list[str] = []
            outcomes = tuple(
                self._upgrade(connection, finder, plan, patience or Patience(), unrecorded) for plan in plans
            )
            info = self._info(engine, connection)
        if unrecorded:
            notes = (
                *notes,
                f"{len(unrecorded)} not recorded in {history.REVISIONS}: {unrecorded[0]}",
            )
        report = UpgradeReport(info, self.catalog.head, outcomes, notes)
        if report.failures:
            raise UpgradeFailed(report.failures, report)
        return report

    def history(self, table: str | TableRef | None = None) -> tuple[Revision, ...]:
        """The recorded upgrades of one table, or of all, oldest first. Empty where nothing was ever recorded.

        Raises:
            CannotConnect, BadTableName, NoSuchTable
        """
        ref = self._ref(table) if table is not None else None
        engine = self._open()
        with connected(engine) as connection:
            finder = self._finder(engine, connection)
            revisions = history.list_revisions(connection, finder.log_schemas())
            if ref is None:
                return revisions
            check_schema(ref, finder.dialect)
            found = tuple(revision for revision in revisions if finder.names(ref, revision.table))
            if not found:
                finder.survey([ref])  # says that there is no such table, if that is why
        return found

    # --- inside --------------------------------------------------------------------------------------------

    def _survey(
        self, tables: Iterable[str | TableRef] | None, *, to: int | None = None, details: bool = False
    ) -> Survey:
        refs = self._refs(tables)
        engine = self._open()
        with connected(engine) as connection:
            finder = self._finder(engine, connection)
            plans, notes = finder.survey(refs, to=to, details=details)
            return Survey(self._info(engine, connection), self.catalog.head, plans, notes)

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
        return make_engine(self._url, writable=writable, create=self._create and writable)

    def _finder(self, engine: Engine, connection: Connection, index_limit: int | None = None) -> Finder:
        dialect = dialect_of(engine)
        if self.schema not in (None, "main") and not dialect.has_schemas:
            raise NoSchemas(title=dialect.title, schema=self.schema)
        shown = displayed_url(self._url)
        return Finder(connection, dialect, self.catalog, self.schema, shown, index_limit=index_limit)

    def _info(self, engine: Engine, connection: Connection) -> DatabaseInfo:
        version = ".".join(str(part) for part in connection.dialect.server_version_info or ())
        return DatabaseInfo(engine.dialect.name, version, displayed_url(self._url))

    def _upgrade(
        self, connection: Connection, finder: Finder, plan: Plan, patience: Patience, unrecorded: list[str]
    ) -> Outcome:
        if plan.status is Status.CURRENT:
            return Outcome(plan)
        try:
            applied = apply(connection, finder.dialect, plan, lambda: finder.again(plan), patience, __version__)
        except StorageAdminError as error:
            return Outcome(plan, error=error)
        except exc.DBAPIError as error:
            # The connection is lost. What became of this table is not known here: look at it with `check`.
            connection.rollback()  # of SQLAlchemy's own state, so that the next table gets a new connection
            return Outcome(plan, error=QueryFailed(database=str(plan.table), problem=driver_message(error), advice=""))
        if applied.not_recorded:
            unrecorded.append(applied.not_recorded)
        return Outcome(applied.plan, applied.statements, applied.seconds)
