"""One tree of errors.

The docstring of a class is its message; the names in braces are facts, which are also attributes of the
error. ``exit_code`` is what the command line ends with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from storage_admin.errors.base import StorageAdminError as StorageAdminError, UsageError as UsageError
from storage_admin.errors.ecosystem import (
    BadEnvironment as BadEnvironment,
    NoEnvironment as NoEnvironment,
    NoFolder as NoFolder,
    NoPlaceForTables as NoPlaceForTables,
    NoSuchHead as NoSuchHead,
    NotReleasedYet as NotReleasedYet,
    SeveralHeads as SeveralHeads,
    StatementsLeftOut as StatementsLeftOut,
    TableInTheWay as TableInTheWay,
    UnknownRelease as UnknownRelease,
    UnwritableName as UnwritableName,
    WrittenAlready as WrittenAlready,
)
from storage_admin.errors.sessions import (
    ArchiveNotWritten as ArchiveNotWritten,
    BadExport as BadExport,
    CannotImport as CannotImport,
    ColumnsMissing as ColumnsMissing,
    CopyDiffers as CopyDiffers,
    ExtraMissing as ExtraMissing,
    FileExists as FileExists,
    FileInUse as FileInUse,
    NoDatabase as NoDatabase,
    NotASession as NotASession,
    NotAStorage as NotAStorage,
    NotDeleted as NotDeleted,
    NotStorable as NotStorable,
    NotTheSamePrune as NotTheSamePrune,
    NotWritten as NotWritten,
    NotWrittenToFile as NotWrittenToFile,
    ReaderGone as ReaderGone,
    RunsNotRead as RunsNotRead,
    SessionError as SessionError,
    SessionIdTaken as SessionIdTaken,
    SessionOwnedByAnother as SessionOwnedByAnother,
    SessionUnreadable as SessionUnreadable,
    SomeLeftOut as SomeLeftOut,
    UnfinishedArchive as UnfinishedArchive,
    UnsupportedSchemaVersion as UnsupportedSchemaVersion,
    WrongDatabase as WrongDatabase,
)
from storage_admin.errors.settings import (
    BadSettings as BadSettings,
    NoSuchTarget as NoSuchTarget,
    NoTargets as NoTargets,
    TargetNeeded as TargetNeeded,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TABLES_SHOWN, GRANTS_SHOWN = 3, 20


# --- what was asked is wrong -------------------------------------------------------------------------------


class UnknownKind(UsageError):
    """{kind!r} is no kind of session. The kinds are: {known}.{suggestion}"""


class UnknownVersion(UsageError):
    """There is no version {version} in this catalogue: it goes from 1 to {head}. `storage-admin versions` lists
    them.
    """


class KindNotInVersion(UsageError):
    """The kind {kind} does not exist in version {version}: it appears with version {first}. Name a later one."""


class BadTableName(UsageError):
    """{text!r} does not name a table: {problem}. Write [SCHEMA.]NAME[=KIND[,KIND...]] and put a name with a dot, an
    equals sign or a quote in double quotes: '"odd.name"=agent'.
    """


class BadDatabaseURL(UsageError):
    """The database URL cannot be read: {problem}. It looks like postgresql://user:password@host:5432/database or
    sqlite:///path/to/file.db; write @ : / ? # and % of a password as %40 %3A %2F %3F %23 %25.
    """


class NoDatabaseURL(UsageError):
    """No database named. Give --db-url, or set STORAGE_ADMIN_DB_URL or DATABASE_URL, or write db-url under
    [tool.storage-admin] in pyproject.toml or in storage-admin.toml, as `storage-admin init` does.
    """


class EmptyDatabaseURL(NoDatabaseURL):
    """No database named: --db-url is empty, perhaps since it is given a variable that is not set. Give a URL, or leave
    --db-url out, for the environment or the file of settings to name the database.
    """


class UnsupportedDatabase(UsageError):
    """{name} is not supported. This release works with: {supported}."""


class DriverMissing(UnsupportedDatabase):
    """The driver of {driver} is not installed. Install it: {advice}."""


class RoleNeedsURL(UsageError):
    """A role ({role}) is taken on by sessions of our own on PostgreSQL: give the URL of one. The sessions of an engine
    are its owner's to set up.
    """


class RoleNeedsPostgreSQL(RoleNeedsURL):
    """--role is for PostgreSQL, and this is {title}. Leave out {role!r}, and connect as a user who may do it."""


class RoleThroughPooler(UsageError):
    """SET ROLE {role} would reach other clients of the connection pooler in between. Connect to the server itself, or
    let the role be taken on at login: ALTER ROLE {session_role} SET role = '{role}'
    """


class NoSchemas(UsageError):
    """{title} has no schemas; leave out --schema {schema}."""


class KindNeeded(UsageError):
    """{table} {reason}, so its kind must be named: {table}={kinds}."""


class AmbiguousTable(UsageError):
    """{name} stands for several tables: {candidates}. Name the schema: {example}."""


# --- the catalogue -----------------------------------------------------------------------------------------


class CatalogError(StorageAdminError):
    """{file}: {place}: {problem}"""


class ReleasedFileChanged(StorageAdminError):
    """Released version files differ from {lock}: {files}. A released file never changes; add a new version instead."""

    files: Sequence[str]


class LockFileError(StorageAdminError):
    """{file}: {problem}. {advice}"""


# --- the database ------------------------------------------------------------------------------------------


class DatabaseError(StorageAdminError):
    """{database}: {problem}"""


class QueryFailed(DatabaseError):
    """{database} answered: {problem}. {advice}"""


class DatabaseBusy(QueryFailed):
    """{database}: {problem}. {advice}"""

    exit_code = 5


class LogNotReadable(QueryFailed):
    """{database}: {problem}. {advice}"""


class CannotConnect(DatabaseError):
    """Cannot connect to {database}: {problem}. {advice}"""


class ReadOnlyServer(DatabaseError):
    """{database} cannot be changed: {problem}. Nothing was sent. {advice}"""


class ServerTooOld(DatabaseError):
    """{database} runs {product} {version}, which can be inspected and planned for, not upgraded: that takes {oldest}.
    Nothing was sent. `storage-admin plan --sql` prints what is to be run by hand.
    """


class ConnectionLost(DatabaseError):
    """{database}: the connection broke while {table} was being upgraded ({problem}), and did not come back. A
    transaction is done whole or not at all; this says which: storage-admin check
    """


class NoSuchFile(DatabaseError):
    """There is no file {path}, and storage-admin never creates one by accident. Check the path; for a new, empty
    database create the file first: touch {path}
    """


class NotADatabase(DatabaseError):
    """{path} is not a SQLite database. Check the path."""


class NoTablesFound(DatabaseError):
    """No session tables in {database}{where}.{hint} Check the URL and --schema; to create a table, name it with its
    kind: storage-admin upgrade agent_sessions=agent
    """


class NotCurrent(DatabaseError):
    """{database} is not current, {when}: {waited}. {advice}"""

    exit_code = 2  # or 3 where a table is drifted, 4 where one is ahead


class NoSuchTable(DatabaseError):
    """There is no table {table} in {database}.{suggestion} `storage-admin inspect` shows which there are. To create it:
    storage-admin upgrade {argument}
    """


class NoSuchSession(StorageAdminError):
    """There is no session {session_id!r} in {tables}. `storage-admin sessions list` shows which there are."""


class NotATable(DatabaseError):
    """{table} is a {relation}, and only an ordinary table can be upgraded.{advice}"""


class NotASessionTable(DatabaseError):
    """{table} is not a session table: to hold {kind} it lacks {missing}. storage-admin never turns somebody else's
    table into one.
    """


class NameTooLong(DatabaseError):
    """The name {name!r} has {length} {unit}, and this database takes {limit}. Choose a shorter one."""


# --- one table could not be upgraded -----------------------------------------------------------------------


class TableError(StorageAdminError):
    """{table}: {problem}"""

    table: str


class SchemaDrifted(TableError):
    """{table} was not changed, since it differs from the definition in a way that only its owner can mend: {drifts}"""

    exit_code = 3


class SchemaAhead(TableError):
    """{table} was recorded at version {recorded} by a newer storage-admin. Upgrade yours; nothing was changed."""

    exit_code = 4


class SchemaOutdated(TableError):
    """{table} is outdated for {kind} sessions, and nothing was read or written; pending: {missing}. To upgrade it at
    start-up, build the storage with auto_upgrade_schema=True; to do it once, call storage.upgrade_schema(), or run:
    storage-admin upgrade {argument} --db-url {url}
    """


class UpgradeByHand(SchemaOutdated):
    """{table} is outdated for {kind} sessions, and nothing was read or written; pending: {missing}. On {title}
    storage-admin changes no table that is there. Run this, and start again:{sql}
    """


class LockNotObtained(TableError):
    """{table}: {waited}; {done}. Run the command again when it is free, or wait longer with --wait."""

    exit_code = 5


class NoRights(TableError):
    """{table}{belongs} {was} not changed: the role {role} may not do that ({problem}). Let {owner} run
    this:{sql}{otherwise}
    """

    grants: Sequence[str]

    def __init__(self, *, grants: Sequence[str], how: str, **facts: object) -> None:
        listed = "".join(f"\n  {grant};" for grant in grants[:GRANTS_SHOWN])
        more = f"\n  -- and {len(grants) - GRANTS_SHOWN} more like these" if len(grants) > GRANTS_SHOWN else ""
        facts |= {"grants": grants, "how": how, "otherwise": f"\n  {how}{listed}{more}" if how else ""}
        super().__init__(**{"was": "was"} | facts)

    @property
    def answer(self) -> tuple[object, ...]:
        """What is the same for all tables for which the same is lacking."""
        return tuple(self.facts[name] for name in ("role", "owner", "problem", "how"))

    @classmethod
    def together(cls, errors: Sequence[NoRights]) -> NoRights:
        """One error for tables for which the same is lacking."""
        if len(errors) == 1:
            return errors[0]
        names, facts = [error.table for error in errors], dict(errors[0].facts)
        more = f" and {len(names) - TABLES_SHOWN} more" if len(names) > TABLES_SHOWN else ""
        facts["table"] = ", ".join(names[:TABLES_SHOWN]) + more
        facts["belongs"] = str(facts["belongs"]).replace(" belongs", " belong", 1).replace(", a table", ", tables", 1)
        facts["sql"] = "\n  storage-admin upgrade, or what this prints: storage-admin plan --sql"
        grants = tuple(dict.fromkeys(grant for error in errors for grant in error.grants))
        return cls(**facts | {"was": "were", "grants": grants})  # type: ignore[arg-type] # as they were given


class InheritedTable(TableError):
    """{table} inherits its columns from {parent}, which is outdated too, so they are added there: storage-admin upgrade
    {parent} {table}
    """


class LargePartitioned(TableError):
    """{table} is a partitioned table of {size}, and an index on it cannot be built while others write, in one step. Its
    columns are there; build the indexes partition by partition, each with CREATE INDEX CONCURRENTLY, under CREATE INDEX
    ... ON ONLY the parent and ALTER INDEX ... ATTACH PARTITION, or run this when a pause is possible:{sql}
    """


class TableGone(TableError):
    """{table} was there a moment ago and is gone. It was not created anew; name it with its kind to do that."""


class StatementFailed(TableError):
    """{table}: the database refused {statement!r}: {problem}. {left}. {advice}"""

    state: str | None
    problem: str


class NeedsCopy(TableError):
    """{table}: {statement!r} cannot be run here while others use the table ({problem}). Choose a quiet hour and give
    --allow-copy, with which the server may copy the table and hold its writers up for as long as that takes.
    """


class UpgradeIncomplete(TableError):
    """{table}: the upgrade ran, but these changes are still pending: {pending}. It was rolled back. An event
    trigger, a rule or another client may undo them; please report this with the output of `storage-admin plan
    --sql`.
    """


class Interrupted(TableError):
    """{table} was interrupted; {left}."""

    exit_code = 130


class NotBegun(TableError):
    """{table} was not begun, since the upgrade was interrupted."""

    exit_code = 130


class UpgradeInterrupted(KeyboardInterrupt):
    """Interrupted: {done} of {total} tables {was} {what}. The same command does the rest.{left}"""

    exit_code = 130
    report: Any

    def __init__(self, report: Any, interrupt: BaseException | None = None, what: str = "upgraded") -> None:
        errors = [outcome.error for outcome in report.outcomes]
        cut = [error for error in errors if error is not None and not isinstance(error, NotBegun)]
        done = sum(outcome.changed and outcome.error is None for outcome in report.outcomes)
        total = sum(outcome.changed or outcome.error is not None for outcome in report.outcomes)
        facts = {"done": done, "total": total, "was": "was" if done == 1 else "were", "what": what}
        listed = "".join(f"\n  {error}" for error in cut)
        template = " ".join((type(self).__doc__ or "").split())
        super().__init__(template.format(**facts, left=listed))
        self.report, self.facts = report, facts
        self.exit_code = getattr(interrupt, "exit_code", self.exit_code)


class UpgradeFailed(StorageAdminError):
    """{summary}"""

    exit_code = 6
    failures: Sequence[StorageAdminError]
    report: Any

    def __init__(self, failures: Sequence[StorageAdminError], report: Any, done: str = "upgraded") -> None:
        codes = {failure.exit_code for failure in failures}
        listed = "".join(f"\n  {failure}" for failure in _together(failures))
        total = len(report.outcomes)
        summary = str(failures[0]) if total == 1 else f"{len(failures)} of {total} tables could not be {done}:{listed}"
        super().__init__(summary=summary, failures=failures, report=report)
        # One kind of failure keeps its own code; among several tables a plain error means "some failed".
        if len(codes) == 1 and (codes != {1} or len(report.outcomes) == 1):
            self.exit_code = codes.pop()


def _together(failures: Sequence[StorageAdminError]) -> Iterator[StorageAdminError]:
    """The failures; those of tables for which somebody lacks the same rights as one, where the first of them is."""
    groups: dict[object, list[StorageAdminError]] = {}
    for failure in failures:
        groups.setdefault(failure.answer if isinstance(failure, NoRights) else id(failure), []).append(failure)
    for group in groups.values():
        same = [failure for failure in group if isinstance(failure, NoRights)]
        yield NoRights.together(same) if same else group[0]
