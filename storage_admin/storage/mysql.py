"""The drop-in for ``agno.storage.mysql.MySQLStorage``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, cast

from sqlalchemy import exc

from storage_admin.database import checked_out, parse_url
from storage_admin.dialects import MYSQL
from storage_admin.errors import NotStorable, SessionIdTaken, SessionOwnedByAnother
from storage_admin.messages import sql_state
from storage_admin.storage.base import SqlStorage
from storage_admin.storage.encoding import Encoder
from storage_admin.storage.mysql_statements import MySQLStatements

if TYPE_CHECKING:
    from typing import NoReturn

    from sqlalchemy import Connection, Engine, Row

    from storage_admin.locking import Patience
    from storage_admin.storage.rows import Packed
    from storage_admin.storage.sessions import Kind
    from storage_admin.storage.statements import Statements

LONGEST = 255  # characters, in the tables of every release
TOO_LONG = f"it is longer than the column, which holds {LONGEST} characters"
OTHER_CHARACTERS = "the column holds something else of it; its character set may lack some of these characters"
TELL_APART = (
    ", or let the column tell them apart: ALTER TABLE ... MODIFY session_id VARCHAR(255) COLLATE utf8mb4_bin NOT NULL"
)
NOT_HELD = frozenset({"1406", "1366"})  # data too long, incorrect string value
COLUMN = re.compile(r"column .*?(\w+)[`'] at row")


class MySQLStorage(SqlStorage):
    """Sessions in a table of MySQL or MariaDB; takes the place of ``agno.storage.mysql.MySQLStorage`` (agno 1.7, 1.8).

    ``schema`` is the database in which the table is; with None it is the one that the URL names. The other arguments
    are those of `PostgresStorage`. An id is a text of its own, though to the database 'A' may be 'a': one that it takes
    for another's is refused (SessionIdTaken), and so is what does not fit into its column (NotStorable).

    Raises:
        As `PostgresStorage`.
    """

    dialect = MYSQL
    also = frozenset({"mariadb"})
    statements = MySQLStatements
    autocommits = False  # an upsert is two statements
    undone_states: ClassVar[frozenset[str]] = frozenset({"1020", "1213"})  # changed since it was read, deadlock

    def __init__(
        self,
        table_name: str,
        schema: str | None = "ai",
        db_url: str | None = None,
        db_engine: Engine | None = None,
        schema_version: int = 1,
        auto_upgrade_schema: bool = False,
        mode: Kind | None = None,
        *,
        allow_owner_change: bool = False,
        patience: Patience | None = None,
    ) -> None:
        self.db_url = db_url
        super().__init__(
            table_name,
            schema,
            parse_url(db_url) if db_url is not None else None,
            db_engine,
            schema_version=schema_version,
            auto_upgrade_schema=auto_upgrade_schema,
            mode=mode,
            allow_owner_change=allow_owner_change,
            patience=patience,
        )

    # --- inside --------------------------------------------------------------------------------------------

    def _encoder(self) -> Encoder:
        return Encoder(self.dialect, rounds_integers=self._rounds_integers())

    def _rounds_integers(self) -> bool:
        """MySQL keeps a number of JSON in 64 bits; MariaDB keeps the text."""
        dialect: Any = self.db_engine.dialect
        if getattr(dialect, "server_version_info", None) is None:
            with checked_out(self.db_engine):
                pass  # SQLAlchemy asks the server what it is on the first connection
        return not dialect.is_mariadb

    def _written(self, kind: str, statements: Statements, packed: Packed, session: Any) -> Row[Any]:
        two = cast("MySQLStatements", statements)
        this = {"session_id": packed.parameters["session_id"]}

        def write(connection: Connection) -> Row[Any]:
            try:
                connection.execute(two.upsert, packed.parameters)
            except exc.DBAPIError as error:
                self._refuse_what_does_not_fit(error, packed.parameters, session)
                raise
            # What is refused from here on was not written either: nothing is committed.
            row = connection.execute(two.stored, this).first()
            self._compare(row, two, packed.parameters, session)
            return cast("Row[Any]", row)

        return self._do(kind, write)

    def _compare(self, row: Row[Any] | None, statements: MySQLStatements, sent: dict[str, Any], session: Any) -> None:
        """Refuse a row that is another's, or is not what was sent: some servers cut texts in silence."""
        if row is None:
            self._refuse("session_id", sent["session_id"], session)
        stored = row._asdict()
        facts = {"table": self._shown, "session_id": session.session_id}
        if stored["session_id"] != sent["session_id"]:
            raise SessionIdTaken(**facts, otherwise=TELL_APART)
        user = sent["user_id"]
        if user is not None and stored["user_id"] != user and len(user) <= LONGEST:
            raise SessionOwnedByAnother(**facts, user_id=session.user_id)
        for name in statements.text_columns:
            if stored[name] != sent[name] and (name != "user_id" or user is not None):
                self._refuse(name, sent[name], session)

    def _refuse(self, column: str, text: str | None, session: Any) -> NoReturn:
        problem = TOO_LONG if len(text or "") > LONGEST else OTHER_CHARACTERS
        raise NotStorable(table=self._shown, session_id=session.session_id, path=column, problem=problem)

    def _refuse_what_does_not_fit(self, error: exc.DBAPIError, sent: dict[str, Any], session: Any) -> None:
        column = COLUMN.search(str(error.orig))
        if sql_state(error) in NOT_HELD and column is not None and column[1] in sent:
            self._refuse(column[1], sent[column[1]], session)
