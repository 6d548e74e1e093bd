"""The drop-in for ``agno.storage.singlestore.SingleStoreStorage``. Nothing of it was ever run on a SingleStore."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from storage_admin.database import pooled_engine
from storage_admin.dialects import SINGLESTORE
from storage_admin.errors import NotStorable, NotWritten, SessionIdTaken, SessionOwnedByAnother
from storage_admin.storage.encoding import Encoder, decode
from storage_admin.storage.mysql import MySQLStorage
from storage_admin.storage.rows import decoded
from storage_admin.storage.singlestore_gate import SingleStoreGate
from storage_admin.storage.singlestore_statements import EMPTY, SingleStoreStatements

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine, Row

    from storage_admin.locking import Patience
    from storage_admin.storage.rows import Packed
    from storage_admin.storage.sessions import Kind
    from storage_admin.storage.statements import Statements

# What users of Agno write, and the driver that we bring: PyMySQL, for the protocol is MySQL's.
SCHEMES = frozenset({"singlestoredb", "singlestoredb+mysql", "singlestore", "memsql"})
NO_KEY = "the table has another row of this session, so that it has no primary key"
OTHER = "the column holds something else of it; it may be too long for it, or its character set may lack some of it"


class SingleStoreStorage(MySQLStorage):
    """Sessions in a table of SingleStore; takes the place of ``agno.storage.singlestore.SingleStoreStorage``.

    Untested on a SingleStore: its statements are only those that SingleStore's documentation, or Agno itself, shows,
    and MariaDB takes them. So that nothing is lost in silence, an upsert reads back all that it wrote.

    A missing table is created as Agno creates it. One that is there is never changed, whatever ``auto_upgrade_schema``
    says: where it lacks a column, SchemaOutdated has the statements to run. ``db_url`` may begin with mysql+pymysql://
    or singlestoredb://. All else is as in `MySQLStorage`.

    Raises:
        As `MySQLStorage`.
    """

    dialect = SINGLESTORE
    also = frozenset({"mysql", "mariadb", "singlestoredb"})
    statements = SingleStoreStatements
    gate = SingleStoreGate

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
        scheme, separator, rest = (db_url or "").partition("://")
        url = f"mysql://{rest}" if separator and scheme in SCHEMES else db_url
        super().__init__(
            table_name,
            schema,
            url,
            db_engine,
            schema_version,
            auto_upgrade_schema,
            mode,
            allow_owner_change=allow_owner_change,
            patience=patience,
        )
        self.db_url = db_url

    # --- inside --------------------------------------------------------------------------------------------

    def _pooled(self, url: URL) -> Engine:
        return pooled_engine(url, decode, settings=False)

    def _encoder(self) -> Encoder:
        return Encoder(self.dialect, rounds_integers=True)

    def _written(self, kind: str, statements: Statements, packed: Packed, session: Any) -> Row[Any]:
        ours = cast("SingleStoreStatements", statements)
        sent = packed.parameters
        facts = {"table": self._shown, "session_id": session.session_id}

        def write(connection: Connection) -> Row[Any]:
            connection.execute(ours.upsert_of(sent), sent)
            # From here on the row is ours alone until the end, and what is refused is rolled back.
            row = self._only_row(connection, ours, sent, facts)
            if row.session_id != sent["session_id"]:
                raise SessionIdTaken(**facts, otherwise="")
            if sent["user_id"] is not None and row.user_id != sent["user_id"]:
                if row.user_id is not None and ours.keep_owner:
                    raise SessionOwnedByAnother(**facts, user_id=session.user_id)
                connection.execute(ours.own, {"this": sent["session_id"], "owner": sent["user_id"]})
                row = self._only_row(connection, ours, sent, facts)
            self._refuse_other_texts(row, ours, sent, facts)
            return row

        row = self._do(kind, write)
        self._note_other_values(row, ours, packed)
        return row

    def _only_row(
        self, connection: Connection, statements: SingleStoreStatements, sent: dict[str, Any], facts: dict[str, Any]
    ) -> Row[Any]:
        rows = connection.execute(statements.stored, {"session_id": sent["session_id"]}).all()
        if not rows:
            raise NotWritten(**facts)
        if len(rows) > 1:
            raise NotStorable(**facts, path="session_id", problem=NO_KEY)
        return rows[0]

    def _refuse_other_texts(
        self, row: Row[Any], statements: SingleStoreStatements, sent: dict[str, Any], facts: dict[str, Any]
    ) -> None:
        stored = row._asdict()
        for name in statements.text_columns:
            if stored[name] != sent[name] and (name != "user_id" or sent[name] is not None):
                raise NotStorable(**facts, path=name, problem=OTHER)

    def _note_other_values(self, row: Row[Any], statements: SingleStoreStatements, packed: Packed) -> None:
        """Have a JSON value logged that is not stored as it was sent; what is returned is what is stored."""
        stored = decoded(row, statements, self._shown)
        for name in statements.json_columns:
            sent = packed.parameters[name]
            kept = name in statements.kept_if_empty and sent in EMPTY
            if not kept and stored[name] != decode(sent):
                packed.replaced.append((name, "not as it was sent"))
