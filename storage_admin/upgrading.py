"""The upgrade of many tables of one database: what is the same for all of them, each table being the executor's."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from threading import Event, Lock
from typing import TYPE_CHECKING

from sqlalchemy import exc

from storage_admin import access, history
from storage_admin.database import autocommit, checked_out, connected, prepare_statements
from storage_admin.errors import Interrupted, NotBegun, QueryFailed, StorageAdminError
from storage_admin.executor import apply
from storage_admin.messages import driver_message
from storage_admin.reports import Outcome
from storage_admin.tracing import span
from storage_admin.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from sqlalchemy import Connection, Engine

    from storage_admin.access import Server
    from storage_admin.changes import Plan
    from storage_admin.discovery import Finder
    from storage_admin.locking import Patience
    from storage_admin.schema import TableName


class Work:
    """The upgrade of many tables of one database: what its lines have in common."""

    def __init__(
        self, engine: Engine, finder: Finder, patience: Patience, server: Server | None, *, owns_engine: bool
    ) -> None:
        self.engine, self.finder, self.patience, self.server = engine, finder, patience, server
        self.owns_engine = owns_engine
        self.operation, self.done = ("repair", "repaired") if finder.only_indexes else ("upgrade", "upgraded")
        self.unrecorded: list[str] = []
        self.logs: set[str | None] = set()
        self._by_schema: dict[str | None, set[str]] = {}
        self.stopped = Event()
        self.interrupt: BaseException | None = None
        self._one_build = Lock()  # two concurrent index builds of one database wait for each other's snapshots
        self._first = Lock()

    @contextmanager
    def line(self) -> Iterator[Callable[[Plan], Outcome]]:
        """What upgrades one table after the other on a connection: the first line has the one that is there already."""
        if self._first.acquire(blocking=False):
            yield self._on(self.finder)
        else:
            with connected(self.engine) as connection:
                yield self._on(self.finder.twin(connection))

    def _on(self, finder: Finder) -> Callable[[Plan], Outcome]:
        if self.owns_engine and self.server is not None and not self.server.pooled:
            prepare_statements(finder.connection)
        return partial(self._traced, finder)

    @contextmanager
    def another(self) -> Iterator[Connection]:
        """A second connection for a line, in autocommit mode."""
        with self._one_build, checked_out(self.engine) as connection:
            autocommit(connection)
            yield connection

    def interrupted(self, interrupt: BaseException) -> None:
        """Begin no other table: somebody has sent a signal."""
        self.interrupt = self.interrupt or interrupt
        self.stopped.set()

    def outcomes(
        self, plans: Iterable[Plan], done: Mapping[TableName, Outcome], wanted: Iterable[Plan]
    ) -> Iterator[Outcome]:
        """What became of each table; of those that were ``wanted``, what was not begun where we were interrupted."""
        left = {plan.table for plan in wanted} - done.keys() if self.interrupt is not None else set()
        for plan in plans:
            error = NotBegun(table=str(plan.table)) if plan.table in left else None
            if error is not None:
                error.exit_code = getattr(self.interrupt, "exit_code", error.exit_code)
            yield done.get(plan.table) or Outcome(plan, error=error)

    def _owners(self, schema: str | None) -> frozenset[str]:
        """Of the tables in a schema that are upgraded."""
        if not self._by_schema:
            for table, facts in self.finder.facts.items():
                self._by_schema.setdefault(table.schema, set()).add(facts.owner)
        return frozenset(self._by_schema.get(schema, ()))

    def notes(self) -> Iterator[str]:
        """What is worth a reader's while about all of them."""
        for reason in dict.fromkeys(self.unrecorded):
            yield f"{self.unrecorded.count(reason)} not recorded in {history.REVISIONS}: {reason}"

    def _traced(self, finder: Finder, plan: Plan) -> Outcome:
        with span(self.operation, finder.connection, plan.table) as traced:
            outcome = self._upgrade(finder, plan)
            traced.set(kinds=plan.kinds, from_version=outcome.plan.version, to_version=outcome.version)
            traced.set(statements=len(outcome.statements))
            if outcome.error is not None:
                traced.failed(outcome.error)
        return outcome

    def _upgrade(self, finder: Finder, plan: Plan) -> Outcome:
        dialect, connection = finder.dialect, finder.connection
        try:
            facts = finder.facts.get(plan.table)
            if plan.runnable:
                access.refuse_without_rights(plan, facts, self.server, dialect)
            if facts is not None and facts.parents:
                finder.refuse_before_its_parents(plan, facts.parents)
            again = partial(finder.again, plan)
            means = (self.patience, __version__, self.another, self.logs, self._owners(plan.table.schema), self.stopped)
            applied = apply(connection, dialect, plan, again, *means)
        except Interrupted as error:
            self.interrupted(error.__cause__ or error)
            return Outcome(plan, error=error)
        except StorageAdminError as error:
            return Outcome(plan, error=error)
        except exc.DBAPIError as error:
            return Outcome(plan, error=QueryFailed(database=str(plan.table), problem=driver_message(error), advice=""))
        if applied.not_recorded:
            self.unrecorded.append(applied.not_recorded)
        left = None
        if applied.plan.deferred and finder.index_limit is None:
            left = access.large_partitioned(applied.plan, finder.facts[plan.table], dialect)
        return Outcome(applied.plan, applied.statements, applied.seconds, left, applied.version)
