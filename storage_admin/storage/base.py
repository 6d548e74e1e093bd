"""What all storage classes have in common: Agno's surface over one table, without its losses."""

from __future__ import annotations

import logging
import random
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast
from weakref import WeakKeyDictionary

from sqlalchemy import exc

from storage_admin.catalog import load_catalog
from storage_admin.database import autocommit, checked_out, pooled_engine, translated_schema
from storage_admin.errors import (
    BadTableName,
    NoDatabase,
    NotASession,
    NotWritten,
    SessionOwnedByAnother,
    UnsupportedSchemaVersion,
    WrongDatabase,
)
from storage_admin.files import in_memory
from storage_admin.messages import query_error, says, sql_state
from storage_admin.naming import TableRef
from storage_admin.schema import TableName
from storage_admin.storage.encoding import Encoder, decode
from storage_admin.storage.gate import Gate
from storage_admin.storage.keeping import Keeper
from storage_admin.storage.rows import Packed, as_text, unpacked
from storage_admin.storage.sessions import DEFAULT_KIND, introduce, kind_of
from storage_admin.storage.statements import Statements

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agno.storage.base import Storage as AgnoStorage
    from sqlalchemy import URL, Connection, Engine, Executable, Row
    from typing_extensions import Self

    from storage_admin.dialects import Dialect
    from storage_admin.errors import StorageAdminError
    from storage_admin.locking import Patience
    from storage_admin.reports import Outcome
    from storage_admin.storage.sessions import Kind
else:
    AgnoStorage = object  # Agno need not be installed, and is not imported here: see `introduce`

Answer = TypeVar("Answer")

SHOWN = 3
ATTEMPTS = 20

logger = logging.getLogger("storage_admin.storage")

# An agent and a team may share one storage, and each sets the mode before it reads. What one thread or task has set is
# none of another one's business.
_modes: ContextVar[WeakKeyDictionary[SqlStorage, str] | None] = ContextVar("modes", default=None)


class SqlStorage(AgnoStorage):
    """The sessions of agents, teams or workflows in one table of one database.

    Safe to share between threads. A method that could not do what it says raises a `StorageAdminError`; none takes a
    failure for an empty answer.
    """

    dialect: ClassVar[Dialect]
    # Further names that a URL of such a database may begin with.
    also: ClassVar[frozenset[str]] = frozenset()
    statements: ClassVar[type[Statements]] = Statements
    gate: ClassVar[type[Gate]] = Gate
    # Errors after which the server has undone all, and the same may be sent again: nobody else is in its way then.
    undone_states: ClassVar[frozenset[str]] = frozenset()
    # One statement is a transaction: to a server BEGIN and COMMIT would be two more round trips.
    autocommits: ClassVar[bool] = True

    def __init__(
        self,
        table_name: str,
        schema: str | None,
        db_url: URL | None,
        db_engine: Engine | None,
        *,
        schema_version: int,
        auto_upgrade_schema: bool,
        mode: str | None,
        allow_owner_change: bool,
        patience: Patience | None,
    ) -> None:
        if schema_version != 1:
            raise UnsupportedSchemaVersion(version=schema_version)
        if not table_name or "\0" in table_name:
            raise BadTableName(text=table_name, problem="it is empty or has a NUL character")
        self.table_name = table_name
        self.schema = schema
        self.schema_version = schema_version
        self.auto_upgrade_schema = auto_upgrade_schema
        self.allow_owner_change = allow_owner_change
        self._catalog = load_catalog()
        self._chosen = self._catalog.known_kind(mode) if mode is not None else None
        self._held: str | None = None
        self._statements: dict[str, Statements] = {}
        self._keeper = Keeper()
        self.db_engine, shared = self._connect(db_url, db_engine)
        self._schema = translated_schema(self.db_engine, schema)
        self._gate = self.gate(
            self.db_engine,
            self.dialect,
            TableRef(table_name, self._schema),
            url=shared,
            upgrades=auto_upgrade_schema,
            patience=patience,
        )
        introduce(type(self))
        if auto_upgrade_schema and self._chosen is not None:
            try:
                self._gate.enter(self._chosen)
            except BaseException:
                if db_engine is None:  # nobody will ever hold it
                    self.db_engine.dispose()
                raise

    # --- the mode ------------------------------------------------------------------------------------------

    @property
    def mode(self) -> Kind:
        """The kind of the sessions that are read: as set in this thread or task, else as set last, else agent."""
        return cast("Kind", self._known_mode() or DEFAULT_KIND)

    @mode.setter
    def mode(self, value: Kind | None) -> None:
        kind = self._catalog.known_kind(value or DEFAULT_KIND)
        self._chosen = kind
        modes = _modes.get()
        if modes is None or modes.get(self) != kind:
            # A new mapping, since a task starts with a copy of its parent's context, not of what is in it.
            _modes.set(WeakKeyDictionary({**(modes or {}), self: kind}))
        introduce(type(self))

    # --- sessions ------------------------------------------------------------------------------------------

    def read(self, session_id: str | None, user_id: str | None = None) -> Any:
        """One session, None if there is none; with a user only if it is that user's.

        Raises:
            SchemaOutdated, SessionUnreadable, QueryFailed, CannotConnect
        """
        if session_id is None:  # as an agent asks that has no session yet
            return None
        kind = self._kind()
        statements = self._for(kind)
        statement = statements.read_of_user if user_id else statements.read
        rows = self._run(kind, statement, self._asked(session_id=session_id, user_id=user_id or None))
        if not rows:
            return None
        found = unpacked(rows[0], kind, statements, self._shown)
        self._keeper.note(found)
        return found

    def get_all_session_ids(self, user_id: str | None = None, entity_id: str | None = None) -> list[str]:
        """The ids of all sessions, of one user, of one agent, team or workflow, the last created first. As `read`."""
        kind = self._kind()
        statement = self._for(kind).ids(user=user_id is not None, entity=entity_id is not None)
        return [row[0] for row in self._run(kind, statement, self._asked(user_id=user_id, entity_id=entity_id))]

    def get_all_sessions(self, user_id: str | None = None, entity_id: str | None = None) -> list[Any]:
        """All sessions, of one user, of one agent, team or workflow: the last created first. Raises as `read`."""
        return self.get_recent_sessions(user_id, entity_id, None)

    def get_recent_sessions(
        self, user_id: str | None = None, entity_id: str | None = None, limit: int | None = 2
    ) -> list[Any]:
        """The sessions created last, at most ``limit`` (None: all), the last one first. Raises as `read`."""
        kind = self._kind()
        statements = self._for(kind)
        statement = statements.sessions(user=user_id is not None, entity=entity_id is not None, limit=limit is not None)
        rows = self._run(kind, statement, self._asked(limit, user_id=user_id, entity_id=entity_id))
        return [unpacked(row, kind, statements, self._shown) for row in rows]

    def upsert(self, session: Any, create_and_retry: bool = True) -> Any:  # noqa: ARG002 - a part of Agno's signature
        """Insert a session, or replace the one of its id, in one statement; return it as it is stored.

        The kind is that of the session. ``created_at`` stays as it was, ``updated_at`` becomes now, and so does
        ``created_at`` of a new session that names none. A session without a user leaves the stored user in place.

        Raises:
            SchemaOutdated, SessionOwnedByAnother, NotStorable, NotASession, QueryFailed, CannotConnect
            RunsNotRead: it was read with runs that its memory has lost since: it cannot read their form.
        """
        kind = kind_of(session)
        if kind is None:
            raise NotASession(found=f"a {type(session).__name__}")
        session = self._keeper.complete(session, self._shown)
        statements = self._for(kind)
        packed = Packed(session, kind, statements, self._encoder(), self._shown)
        row = self._written(kind, statements, packed, session)
        self._keeper.note(session)
        if packed.replaced:
            places = "; ".join(f"{path}: {what}" for path, what in packed.replaced[:SHOWN])
            more = f"; and {len(packed.replaced) - SHOWN} more" if len(packed.replaced) > SHOWN else ""
            logger.warning(
                "%s, session %r: stored in another form: %s%s", self._shown, session.session_id, places, more
            )
        return packed.stored(row)

    def delete_session(self, session_id: str | None = None) -> None:
        """Delete a session, if it is there.

        Raises:
            QueryFailed, CannotConnect
        """
        if session_id is None:
            logger.warning("%s: delete_session() without a session_id deletes nothing", self._shown)
            return
        self._keeper.forget(session_id)
        try:
            self._retried(sending(self._for(self.mode).delete, self._asked(session_id=session_id)))
        except exc.DBAPIError as error:
            if not self._is_stale(error):  # no table, no session
                raise self._failed(error) from None

    # --- the table -----------------------------------------------------------------------------------------

    def create(self) -> None:
        """Create the table, if it is missing, for the current kind. Raises as `StorageAdmin.upgrade`."""
        if not self._gate.exists():
            self._gate.upgrade((self.mode,))

    def drop(self) -> None:
        """Drop the table with all its sessions, if it is there."""
        self._gate.drop()

    def table_exists(self) -> bool:
        """Whether the table is there.

        Raises:
            CannotConnect
        """
        return self._gate.exists()

    def upgrade_schema(self, kind: str | None = None) -> Outcome:  # type: ignore[override]  # Agno's returns nothing
        """Upgrade the table now, whatever ``auto_upgrade_schema`` says, or create it; return what was done.

        For the kinds that it holds, and for ``kind``, or the mode where one was given or set. Raises as
        `StorageAdmin.upgrade`, with the error of this table in place of UpgradeFailed.
        """
        known = self._catalog.known_kind(kind) if kind is not None else self._known_mode()
        kinds = (known,) if known is not None else () if self._gate.kinds_held() else (DEFAULT_KIND,)
        return self._gate.upgrade(kinds)

    # --- copies --------------------------------------------------------------------------------------------

    def __copy__(self) -> Self:
        """Another object for the same table, on the same engine, with a mode of its own."""
        copied = type(self).__new__(type(self))
        vars(copied).update(vars(self), _chosen=self._known_mode())
        return copied

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """As a plain copy: an engine with its connections is shared, not copied."""
        return self.__copy__()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(table_name={self.table_name!r}, schema={self.schema!r}, mode={self.mode!r})"

    # --- inside --------------------------------------------------------------------------------------------

    def _encoder(self) -> Encoder:
        return Encoder(self.dialect)

    def _written(self, kind: str, statements: Statements, packed: Packed, session: Any) -> Row[Any]:
        """Write a session: the row with what the database decided, see `Statements.upsert`."""
        rows = self._run(kind, statements.upsert, packed.parameters)
        if not rows:
            self._refuse_taking(kind, session)
        return rows[0]

    def _refuse_taking(self, kind: str, session: Any) -> None:
        rows = self._run(kind, self._for(kind).owner, self._asked(session_id=session.session_id))
        if not rows or rows[0].user_id in (None, as_text(session.user_id)):
            raise NotWritten(table=self._shown, session_id=session.session_id)
        raise SessionOwnedByAnother(table=self._shown, session_id=session.session_id, user_id=session.user_id)

    def _connect(self, url: URL | None, engine: Engine | None) -> tuple[Engine, str | None]:
        """The engine, and what it shares with others for the same database: the URL, if the engine is ours."""
        source = engine.url if engine is not None else url
        if source is None:
            raise NoDatabase(storage=type(self).__name__, needed="db_url or db_engine")
        if (found := source.get_backend_name()) not in {self.dialect.name, *self.also}:
            raise WrongDatabase(storage=type(self).__name__, title=self.dialect.title, found=found)
        if engine is not None:
            return engine, None
        shared = None if in_memory(source) else source.render_as_string(hide_password=False)
        return self._pooled(source), shared

    def _pooled(self, url: URL) -> Engine:
        return pooled_engine(url, decode)

    @property
    def _shown(self) -> str:
        return str(TableName(self._schema, self.table_name))

    def _known_mode(self) -> str | None:
        modes = _modes.get()
        return self._chosen if modes is None else modes.get(self, self._chosen)

    def _kind(self) -> str:
        """The mode; where nobody ever gave one, the kind that the table holds, if it is one."""
        known = self._known_mode() or self._held
        if known is None:
            known = self._held = self._gate.enter(None)
        return known

    def _for(self, kind: str) -> Statements:
        if kind not in self._statements:
            target = self._catalog.target_for((kind,), self._catalog.head, self.dialect.name)
            self._statements[kind] = self.statements(
                self.dialect.name, target, kind, self._schema, self.table_name, keep_owner=not self.allow_owner_change
            )
        return self._statements[kind]

    def _asked(self, limit: int | None = None, **ids: object) -> dict[str, Any]:
        """The parameters of a question, with ids as they would have been stored."""
        encoder = self._encoder()
        asked = {name: encoder.text(as_text(value), name) for name, value in ids.items() if value is not None}
        return asked | ({"limit": limit} if limit is not None else {})

    def _run(self, kind: str, statement: Executable, parameters: dict[str, Any]) -> Sequence[Row[Any]]:
        return self._do(kind, sending(statement, parameters))

    def _do(self, kind: str, work: Callable[[Connection], Answer]) -> Answer:
        """Do something in one transaction, on a table that is ready for sessions of a kind."""
        self._gate.enter(kind)
        try:
            return self._retried(work)
        except exc.DBAPIError as error:
            if not self._is_stale(error):
                raise self._failed(error) from None
        # Somebody dropped the table, or put an older one in its place, since we looked.
        self._gate.forget()
        self._gate.enter(kind)
        try:
            return self._retried(work)
        except exc.DBAPIError as error:
            raise self._failed(error) from None

    def _failed(self, error: exc.DBAPIError) -> StorageAdminError:
        return query_error(self.db_engine.url, error, self._shown)

    def _retried(self, work: Callable[[Connection], Answer]) -> Answer:
        """Do something; once more if the connection had died in the pool: all that we send may be sent twice."""
        for attempt in range(ATTEMPTS):
            try:
                return self._once(work)
            except exc.DBAPIError as error:
                again = error.connection_invalidated and attempt == 0
                if not again and sql_state(error) not in self.undone_states:
                    raise
            time.sleep(random.uniform(0, 0.01) * attempt)  # noqa: S311 - jitter, not a secret
        return self._once(work)

    def _once(self, work: Callable[[Connection], Answer]) -> Answer:
        with checked_out(self.db_engine) as connection:
            # An engine whose transactions begin with something, a SET LOCAL perhaps, goes on doing that.
            if self.autocommits and not self.db_engine.dispatch.begin:
                autocommit(connection)
            answer = work(connection)
            connection.commit()
            return answer

    def _is_stale(self, error: exc.DBAPIError) -> bool:
        return says(error, self.dialect.stale_states, self.dialect.stale_texts)


def sending(statement: Executable, parameters: dict[str, Any]) -> Callable[[Connection], Sequence[Row[Any]]]:
    """What sends a statement on a connection, and gives the rows of its answer."""

    def send(connection: Connection) -> Sequence[Row[Any]]:
        result = connection.execute(statement, parameters)
        return result.all() if result.returns_rows else ()

    return send
