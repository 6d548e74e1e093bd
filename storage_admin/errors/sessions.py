"""What goes wrong with sessions and with files of them."""

from __future__ import annotations

from typing import Any

from storage_admin.errors.base import StorageAdminError, UsageError


class NoDatabase(UsageError, ValueError):
    """{storage} needs {needed}."""


class WrongDatabase(UsageError, ValueError):
    """{storage} keeps sessions in {title}, and this is {found}. storage_admin has PostgresStorage, MySQLStorage,
    SingleStoreStorage and SqliteStorage.
    """


class UnsupportedSchemaVersion(UsageError, ValueError):
    """schema_version={version!r} does not exist: Agno knows 1 only. Versions of tables are seen to by
    auto_upgrade_schema=True, or by storage.upgrade_schema().
    """


class NotAStorage(UsageError, TypeError):
    """An object of type {found} is no storage with a table in a SQL database. {advice}"""


class NotASession(UsageError, TypeError):
    """{found} is no session of an agent, a team or a workflow."""


class NotWritten(StorageAdminError):
    """{table}: the database took the session {session_id!r} without an error and wrote nothing. A trigger, a rule or a
    policy may do that.
    """


class SessionError(StorageAdminError):
    """{table}, session {session_id!r}: {problem}"""


class SessionOwnedByAnother(SessionError):
    """{table}: the session {session_id!r} belongs to another user than {user_id!r}; nothing was written. Use a new
    session id, or build the storage with allow_owner_change=True to hand sessions from one user to another.
    """


class RunsNotRead(SessionError):
    """{table}, session {session_id!r}: {runs} of its runs are in the form {form}, which the memory of this agent, team
    or workflow did not read and would have replaced; nothing was written. Build it with memory={reader}(), which reads
    them: docs/continue-a-conversation.md
    """


class SessionIdTaken(SessionError):
    """{table}: to this database the session id {session_id!r} is the same text as that of another session (it compares
    without regard to case, accents or spaces at the end); nothing was written. Use another id{otherwise}.
    """


class NotStorable(SessionError):
    """{table}, session {session_id!r}: {path} cannot be stored: {problem}; nothing was written."""


class SessionUnreadable(SessionError):
    """{table}, session {session_id!r}: {column} does not hold what it should: {problem}. Nothing was changed."""


# --- files of sessions -------------------------------------------------------------------------------------


class FileExists(UsageError):
    """{path} is there already, and was left as it is. Choose another name{otherwise}."""


class FileInUse(StorageAdminError):
    """Somebody else is writing {path} at this moment."""


class NotWrittenToFile(StorageAdminError):
    """{path} could not be written: {problem}. Nothing is left under this name that was not there before."""


class ReaderGone(NotWrittenToFile):
    """Standard output could not be written to its end: whoever read it has gone."""


class ArchiveNotWritten(StorageAdminError):
    """{path} could not be written: {problem}. It holds what was removed so far; make room, and run the same again."""


class NotTheSamePrune(UsageError):
    """{path} is what is left of a prune of {begun}, and holds the only copy of what that removed. This one would be of
    {this}. Finish the other one, or choose another archive.
    """


class UnfinishedArchive(UsageError):
    """{path} is what a prune that has not come to its end has archived, and the only copy of what it removed. The same
    prune finishes it: {command}. Then: storage-admin sessions restore {archive}. A copy of it under a name that ends in
    .jsonl can be imported as it is.
    """


class ExtraMissing(UsageError):
    """{what} needs {package}. Install it: pip install 'storage-admin[{extra}]'"""


class BadExport(StorageAdminError):
    """{file}: {problem}."""


class CannotImport(UsageError):
    """{file}: {problem}."""


class ColumnsMissing(StorageAdminError):
    """{table} lacks columns that {file} has, and nothing of it was written: {columns}. {advice}
    {option}
    """


class NotDeleted(StorageAdminError):
    """{table} let go {gone} of {sessions} sessions that are locked and were to be deleted; all of them were left. A
    trigger, a rule or a policy may keep them.
    """


class CopyDiffers(StorageAdminError):
    """{target} does not hold all that {source} does:{tables}"""

    result: Any


class SomeLeftOut(StorageAdminError):
    """{summary}{listed}"""

    exit_code = 6
    result: Any
