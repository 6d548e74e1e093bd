"""One tree of errors.

The docstring of a class is its message; the names in braces are facts, which are also attributes of the
error. ``exit_code`` is what the command line ends with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage_admin.errors.base import StorageAdminError as StorageAdminError, UsageError as UsageError
from storage_admin.errors.ecosystem import (
    BadEnvironment as BadEnvironment,
    NoEnvironment as NoEnvironment,
    NoFolder as NoFolder,
    NoPlaceForTables as NoPlaceForTables,
    NoSuchHead as NoSuchHead,
    NotReleasedYet as NotReleasedYet,
    RanAlready as RanAlready,
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
from storage_admin.errors.tables import (
    InheritedTable as InheritedTable,
    Interrupted as Interrupted,
    LargePartitioned as LargePartitioned,
    LockNotObtained as LockNotObtained,
    NeedsCopy as NeedsCopy,
    NoRights as NoRights,
    NotBegun as NotBegun,
    SchemaAhead as SchemaAhead,
    SchemaDrifted as SchemaDrifted,
    SchemaOutdated as SchemaOutdated,
    StatementFailed as StatementFailed,
    TableError as TableError,
    TableGone as TableGone,
    UpgradeByHand as UpgradeByHand,
    UpgradeFailed as UpgradeFailed,
    UpgradeIncomplete as UpgradeIncomplete,
    UpgradeInterrupted as UpgradeInterrupted,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


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
    """The driver of {driver} is not installed. {advice}."""


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


class NoTableYet(NoSuchTable):
    """There is no table {table} in {database}.{suggestion} To let the import create it, name its kind: {argument}"""


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
