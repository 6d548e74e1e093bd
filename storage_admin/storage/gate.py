"""Before the first statement of a kind the table is looked at: once per process, table and kind, in one query."""

from __future__ import annotations

import logging
import os
import shlex
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary, WeakSet

from sqlalchemy import text

from storage_admin import executor, inspector
from storage_admin.admin import StorageAdmin
from storage_admin.catalog import load_catalog
from storage_admin.changes import AddColumn, Status
from storage_admin.database import connected
from storage_admin.discovery import Finder
from storage_admin.errors import QueryFailed, SchemaOutdated, UpgradeFailed
from storage_admin.files import in_memory
from storage_admin.messages import MASK, displayed_url
from storage_admin.naming import TableRef, argument
from storage_admin.schema import TableName
from storage_admin.storage.sessions import DEFAULT_KIND

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection, Engine

    from storage_admin.changes import Plan
    from storage_admin.dialects import Dialect
    from storage_admin.locking import Patience
    from storage_admin.reports import Outcome

    Key = tuple[str | None, str, str | None]  # schema, name, kind

Answer = TypeVar("Answer")

INDEX_LIMIT = 50_000  # rows, above which no index is built while an application starts

logger = logging.getLogger("storage_admin.storage")


class Known:
    """What this process knows of one database: which tables are ready for which kinds."""

    def __init__(self) -> None:
        self.ready: set[Key] = set()
        self.locks: dict[Key, Lock] = {}


_by_engine: WeakKeyDictionary[Any, Known] = WeakKeyDictionary()
_by_url: dict[str, Known] = {}
_engines: WeakSet[Engine] = WeakSet()


def _after_fork() -> None:
    """In a forked child: the parent's connections are the parent's, and nobody will ever free a lock that it held."""
    for engine in _engines:
        if not in_memory(engine.url):
            engine.dispose(close=False)
    for known in (*_by_engine.values(), *_by_url.values()):
        known.locks.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def known_of(engine: Engine, url: str | None) -> Known:
    """What is known of the database of an engine; engines that we made share it by their URL."""
    return _by_engine.setdefault(engine, Known()) if url is None else _by_url.setdefault(url, Known())


class Gate:
    """Stands before one table. ``url`` is None for an engine that somebody else made; ``upgrades`` is the flag."""

    def __init__(
        self,
        engine: Engine,
        dialect: Dialect,
        ref: TableRef,
        *,
        url: str | None,
        upgrades: bool,
        patience: Patience | None,
    ) -> None:
        self.engine = engine
        self.dialect = dialect
        self.ref = ref
        self.upgrades = upgrades
        self.patience = patience
        self.catalog = load_catalog()
        self.known = known_of(engine, url)
        _engines.add(engine)

    def enter(self, kind: str | None) -> str:
        """See to it that the table can hold sessions of a kind, and return the kind.

        With None it is the kind that the table holds, where it holds exactly one. A missing table is created.

        Raises:
            SchemaOutdated: the table lacks something, and may not be upgraded here.
            SchemaDrifted, NotASessionTable, NotATable, CannotConnect, and as `upgrade`.
        """
        key = self._key(kind)
        if kind is not None and key in self.known.ready:
            return kind
        with self.known.locks.setdefault(key, Lock()):  # threads of one process need not race each other
            if kind is None or key not in self.known.ready:
                kind = self._settle(kind)
                self.known.ready.add(self._key(kind))
        return kind

    def forget(self) -> None:
        """The table is not, or no longer, as we thought: look again before the next statement."""
        table = self._key(None)[:2]
        self.known.ready -= {key for key in tuple(self.known.ready) if key[:2] == table}

    def upgrade(self, kinds: tuple[str, ...], *, index_limit: int | None = None) -> Outcome:
        """Upgrade the table for these kinds and those that it holds; create it if it is missing.

        Raises:
            As `StorageAdmin.upgrade`, with the error of the table itself in place of UpgradeFailed.
        """
        ref = self._ask(lambda connection: self._resolved(connection, kinds))
        admin = StorageAdmin(self.engine)
        try:
            report = _twice(lambda: admin.upgrade([ref], patience=self.patience, index_limit=index_limit))
        except UpgradeFailed as error:
            raise error.failures[0] from None
        [outcome] = report.outcomes
        if outcome.changed:
            done, kinds_held = "; ".join(map(str, outcome.plan.changes)), ", ".join(outcome.plan.kinds)
            logger.info("%s (%s): %s, in %.1f s", outcome.plan.table, kinds_held, done, outcome.seconds)
        return outcome

    def exists(self) -> bool:
        """Whether there is a relation of this name.

        Raises:
            CannotConnect
        """

        def find(connection: Connection) -> bool:
            ref = self._resolved(connection)
            return bool(inspector.find_tables(connection, self.dialect, names=[ref.name], schema=ref.schema))

        return self._ask(find)

    def kinds_held(self) -> tuple[str, ...]:
        """The kinds of the table, by its shape; empty where it is missing."""
        plan = self._look(())
        return plan.kinds if plan is not None else ()

    def drop(self) -> None:
        """Drop the table, if it is there."""

        def drop(connection: Connection) -> None:
            ref = self._resolved(connection)
            executor.drop(connection, TableName(ref.schema, ref.name))

        self._ask(drop)
        self.forget()

    # --- inside --------------------------------------------------------------------------------------------

    def _key(self, kind: str | None) -> Key:
        return self.ref.schema, self.ref.name, kind

    def _settle(self, kind: str | None) -> str:
        plan = self._look((kind,) if kind is not None else ())
        if kind is None:
            held = plan.kinds if plan is not None else ()
            kind = held[0] if len(held) == 1 else DEFAULT_KIND
            plan = plan if held == (kind,) or plan is None else self._look((kind,))
        if plan is None:
            plan = self.upgrade((kind,), index_limit=INDEX_LIMIT).plan
        elif plan.changes:
            plan = self._bring_up(plan, kind)
        self._remark(plan)
        return kind

    def _bring_up(self, plan: Plan, kind: str) -> Plan:
        drifted = plan.status is Status.DRIFTED
        if drifted and not any(isinstance(change, AddColumn) for change in plan.changes):
            return plan  # what is missing is not needed to read and write, and cannot be added here
        if drifted or self.upgrades:
            return self.upgrade((kind,), index_limit=INDEX_LIMIT).plan
        url = displayed_url(self.engine.url)
        secret = MASK in url  # and cannot be pasted
        raise SchemaOutdated(
            table=str(plan.table),
            kind=kind,
            missing=", ".join(map(str, plan.changes)),
            argument=argument(plan.table, kind),
            where=", with the URL in STORAGE_ADMIN_DB_URL," if secret else "",
            option="" if secret else f" --db-url {shlex.quote(url)}",
        )

    def _remark(self, plan: Plan) -> None:
        if plan.deferred:
            builds = ", ".join(map(str, plan.deferred))
            command = f"storage-admin upgrade {argument(plan.table)}"
            logger.warning("%s: not at start-up, since the table is large: %s; run: %s", plan.table, builds, command)
        for drift in plan.drifts:
            logger.warning("%s: %s", plan.table, drift)

    def _look(self, kinds: tuple[str, ...]) -> Plan | None:
        def glance(connection: Connection) -> Plan | None:
            shown = displayed_url(self.engine.url)
            finder = Finder(connection, self.dialect, self.catalog, None, shown, index_limit=INDEX_LIMIT)
            return finder.glance(self._resolved(connection, kinds))

        return self._ask(glance)

    def _ask(self, question: Callable[[Connection], Answer]) -> Answer:

        def ask() -> Answer:
            with connected(self.engine) as connection:
                return question(connection)

        return _twice(ask)

    def _resolved(self, connection: Connection, kinds: tuple[str, ...] = ()) -> TableRef:
        schema = self.ref.schema
        if schema is None and self.dialect.has_schemas:
            schema = connection.scalar(text(self.dialect.home_schema), {"name": self.ref.name})
        return TableRef(self.ref.name, schema, kinds)


def _twice(action: Callable[[], Answer]) -> Answer:
    """Do something that uses a connection of the pool; once more if that one had died there."""
    try:
        return action()
    except QueryFailed as error:
        if not getattr(error.__cause__, "connection_invalidated", False):
            raise
    return action()
