"""The revision of one upgrade, in the transaction of the upgrade, over as many attempts as that takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import exc

from storage_admin import history
from storage_admin.database import send
from storage_admin.locking import Busy
from storage_admin.messages import driver_message, sql_state

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from storage_admin.dialects import Dialect
    from storage_admin.schema import TableName

TWO_GRANTS = "concurrently updated"  # an internal error to PostgreSQL: two GRANTs on one table at one moment
RACED = "somebody else created the log at the same moment"


class Recorder:
    """Records the upgrade of a table. ``logs`` are the schemas whose log is known to take revisions; it grows.

    ``owners`` of tables in this schema get the right to its log, where it is ours to give.
    """

    def __init__(self, dialect: Dialect, table: TableName, logs: set[str | None], owners: frozenset[str]) -> None:
        self.dialect, self.table, self.logs, self.owners = dialect, table, logs, owners
        self._number: int | None = None  # of our revision, once it is committed
        self._sent: int | None = None

    @property
    def pending(self) -> bool:
        """Whether a revision went with a transaction whose end is not known yet."""
        return self._sent != self._number

    def committed(self) -> None:
        """It was committed."""
        self._number = self._sent

    def forget(self) -> None:
        """It was not."""
        self._sent = self._number

    def has_arrived(self, connection: Connection) -> bool | None:
        """Whether the revision that was sent is in the log; None where none was sent."""
        if self._sent is None:
            return None
        # The log may have been made in the same transaction.
        return history.exists(connection, self.table.schema) and history.has(connection, self.table, self._sent)

    def record(self, connection: Connection, revision: history.Revision) -> str | None:
        """Add the revision, or amend it; return why that could not be.

        A role that may alter a table need not be allowed to create one beside it: the upgrade counts all the same.

        Raises:
            Busy: a log that took revisions a moment ago refused this one, and with it the transaction.
        """
        why = self._try(connection, revision)
        return self._try(connection, revision) if why == RACED else why

    def _try(self, connection: Connection, revision: history.Revision) -> str | None:
        schema = self.table.schema
        if schema in self.logs:  # it took a revision of ours a moment ago, and will take this one
            try:
                self._write(connection, revision)
            except exc.DBAPIError as error:
                self.logs.discard(schema)
                raise Busy(f"{history.REVISIONS} refused a revision ({driver_message(error)})") from None
            return None
        if self.dialect.transactional_ddl:
            send(connection, "SAVEPOINT storage_admin_history")
        try:
            if not history.exists(connection, schema):
                history.create(connection, schema)
            history.share(connection, self.dialect, schema, self.owners)
            self._write(connection, revision)
        except exc.DBAPIError as error:
            if self.dialect.transactional_ddl:
                send(connection, "ROLLBACK TO SAVEPOINT storage_admin_history")
            raced = sql_state(error) in self.dialect.raced_states or TWO_GRANTS in driver_message(error)
            return RACED if raced else driver_message(error) + self._how(connection)
        self.logs.add(schema)
        return None

    def _how(self, connection: Connection) -> str:
        found = history.access(connection, self.dialect, self.table.schema)
        if found is None or found.enough:
            return ""
        return f"; to have them recorded, {history.advice(connection, found)}"

    def _write(self, connection: Connection, revision: history.Revision) -> None:
        if self._number is not None:
            history.amend(connection, self._number, revision)
        else:
            self._sent = history.record(connection, revision)
