"""Runs plans. The only module that issues DDL."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.schema import DropTable

from storage_admin import history
from storage_admin.access import holders, listed, no_rights, server_facts, snapshots, table_facts
from storage_admin.alters import ways
from storage_admin.builds import build_timeouts, refuse_while_built, watched
from storage_admin.changes import AddColumn, RebuildIndex, Status
from storage_admin.database import renew, send, transaction
from storage_admin.errors import (
    ConnectionLost,
    Interrupted,
    LockNotObtained,
    NeedsCopy,
    SchemaAhead,
    SchemaDrifted,
    StatementFailed,
    UpgradeIncomplete,
)
from storage_admin.locking import ANOTHER, Busy, Patience, Watch, attempts, closing, is_lock_timeout, lock_key, opening
from storage_admin.messages import advice_for, displayed_url, driver_message, sql_state
from storage_admin.recording import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager
    from threading import Event

    from sqlalchemy import Connection

    from storage_admin.access import Client
    from storage_admin.changes import Build, Change, Plan
    from storage_admin.dialects import Dialect
    from storage_admin.errors import StorageAdminError
    from storage_admin.schema import Column, TableName

RACES = 3
RENEWALS = 3
SHOWN = 120
CHECK = "this says what is there: storage-admin check"
UNCHANGED = "The table was left as it was"
PERHAPS = "Statements before it are done, and this one not"
NOT_BUILT = "The index is not there yet; the columns are"


class Applied(msgspec.Struct, frozen=True):
    """What one upgrade did: the plan that was run, its statements, how long they took, whether they were recorded.

    ``version`` is what the table is at now: 0 where that is none, None where nothing was done.
    """

    plan: Plan
    statements: tuple[str, ...] = ()
    seconds: float = 0.0
    not_recorded: str | None = None
    version: int | None = None


def apply(
    connection: Connection,
    dialect: Dialect,
    plan: Plan,
    replan: Callable[[], Plan],
    patience: Patience,
    tool_version: str,
    another: Callable[[], AbstractContextManager[Connection]],
    logs: set[str | None] | None = None,
    owners: frozenset[str] = frozenset(),
    stopped: Event | None = None,
) -> Applied:
    """Bring one table to the target of its plan: one transaction, then the index builds that may not be in one.

    ``replan`` looks at the table again and plans anew; it is asked inside the lock, since another process may have
    been faster, and after the last statement, since only an empty plan is a success. ``another`` gives a second
    connection, which holds the lock while this one builds an index. ``logs`` are the schemas whose log is known
    to take revisions; it grows. ``owners`` of tables in this schema get the right to its log, where it is ours to give.

    Raises:
        SchemaDrifted, SchemaAhead: the table may not be touched.
        LockNotObtained: somebody held the table, or another upgrade of it ran, until the time was over.
        NoRights, StatementFailed, UpgradeIncomplete: rolled back.
        ConnectionLost: it broke, and again, or the server does not come back.
        Interrupted: by Ctrl-C or a signal, or because ``stopped`` was set.
    """
    refuse(plan)
    log = Recorder(dialect, plan.table, set() if logs is None else logs, owners)
    watch = Watch(str(plan.table), patience, stopped=stopped)
    upgrade = _Upgrade(connection, dialect, plan, replan, patience, tool_version, another, log, watch)
    try:
        return upgrade.run()
    except KeyboardInterrupt as interrupt:
        raise upgrade.interrupted(interrupt) from interrupt


def create(connection: Connection, dialect: Dialect, plan: Plan) -> tuple[str, ...]:
    """Create the table of a plan where a server has no lock of ours; nothing is done if somebody else was faster."""
    from storage_admin.render import render

    statements = render(plan, dialect)
    try:
        for statement in statements:
            send(connection, statement)
    except exc.DBAPIError as error:
        if sql_state(error) in dialect.raced_states:
            return ()
        raise
    return statements


def add_columns(connection: Connection, dialect: Dialect, table: TableName, columns: Iterable[Column]) -> None:
    """Add columns that no version knows to a table without rows, for those that bring values for them."""
    from storage_admin.render import render_changes

    with transaction(connection, ["BEGIN"]):
        for statement in render_changes(table, [AddColumn(column) for column in columns], dialect):
            send(connection, statement)


def drop(connection: Connection, table: TableName) -> None:
    """Drop a table, if it is there. No plan ever does; an application that says `storage.drop()` does."""
    connection.execute(DropTable(sa.Table(table.name, sa.MetaData(), schema=table.schema), if_exists=True))


def refuse(plan: Plan) -> None:
    """Raise the error of a plan that must not be run.

    Raises:
        SchemaDrifted, SchemaAhead
    """
    if plan.status is Status.DRIFTED:
        raise SchemaDrifted(table=str(plan.table), drifts="; ".join(str(drift) for drift in plan.drifts))
    if plan.status is Status.AHEAD:
        raise SchemaAhead(table=str(plan.table), recorded=plan.recorded)


class Unsupported(Exception):
    """A server refuses an algorithm for a statement; another one may do."""


class _Upgrade:
    """One table on its way, over as many attempts as it takes. ``statements`` are those known to be committed."""

    def __init__(
        self,
        connection: Connection,
        dialect: Dialect,
        plan: Plan,
        replan: Callable[[], Plan],
        patience: Patience,
        tool_version: str,
        another: Callable[[], AbstractContextManager[Connection]],
        log: Recorder,
        watch: Watch,
    ) -> None:
        self.connection, self.dialect, self.replan, self.another = connection, dialect, replan, another
        self.plan, self.table, self.patience, self.tool_version = plan, plan.table, patience, tool_version
        self.log, self.watch = log, watch
        self.begun = False
        self.statements: tuple[str, ...] = ()
        self.sent: tuple[str, ...] = ()  # in a transaction whose end is not known yet
        self.seconds = 0.0
        self.not_recorded: str | None = None
        self.version: int | None = None
        self.building = False
        self.unlogged = False  # something was done outside a transaction that the log does not tell yet

    def run(self) -> Applied:
        """Try until it is done, or cannot be, or the time is over. Raises as `apply`."""
        waited, races, renewals, lost = "", 0, 0, False
        for _ in attempts(self.patience, self.watch.sleep):
            try:
                self._attempt()
                return Applied(self.plan, self.statements, self.seconds, self.not_recorded, self.version)
            except Busy as busy:
                waited, lost = str(busy), False
                others = self._in_the_way() if waited == ANOTHER and self.watch.due else ()
                self.watch.tell(f"{waited}: {listed(others)}" if others else waited, others[:1] and others[0].pid)
            except StatementFailed as error:
                # Somebody who does not know our lock, such as Agno itself, made the same thing first: look again.
                races += 1
                if error.state not in self.dialect.raced_states or races > RACES:
                    raise self._no_rights(error) if error.state in self.dialect.denied_states else error from None
            except exc.DBAPIError as error:
                if lost := error.connection_invalidated or self.connection.invalidated:
                    waited = driver_message(error)
                    renewals += self._renewed()
                    if renewals > RENEWALS:
                        break
                elif is_lock_timeout(error, self.dialect):
                    others = self._in_the_way()
                    waited = f"it is in use by {listed(others) or f'others ({driver_message(error)})'}"
                    self.watch.tell(waited, others[:1] and others[0].pid)
                else:
                    raise
        raise self._gave_up(waited, lost=lost)

    def _attempt(self) -> None:
        begin, end = (f(self.dialect, self.table, self.patience) for f in (opening, closing))
        with transaction(self.connection, begin, end, self.dialect.lockless_states) as answers:
            if not all(answers):
                raise Busy(ANOTHER)
            left = self._change()
        self._committed()
        if left.concurrent:
            self._build()

    # --- in one transaction ------------------------------------------------------------------------------------

    def _change(self) -> Plan:
        """Run what runs in a transaction; return what is left."""
        plan = self.replan()
        refuse(plan)
        self._recall(plan)
        if not self.begun:
            self.plan, self.begun = plan, True
        statements = tuple(self._run(statement) for statement in self._rendered(plan.transactional))
        after = self.replan() if statements else plan
        if after.transactional:
            raise UpgradeIncomplete(table=str(self.table), pending=", ".join(map(str, after.transactional)))
        self.sent = statements if self.dialect.transactional_ddl else ()
        if statements or self.unlogged:
            self._record(self.connection, after)
        return after

    def _committed(self) -> None:
        self.statements, self.sent = (*self.statements, *self.sent), ()
        self.log.committed()
        self.unlogged = False

    def _recall(self, plan: Plan) -> None:
        """Find out how a transaction ended at whose end the connection broke: by the log, or else by the shape."""
        if not self.sent and not self.log.pending:
            return
        recorded = self.log.has_arrived(self.connection)
        if recorded or (recorded is None and not plan.transactional):
            self._committed()
        self.sent = ()
        self.log.forget()

    # --- outside of one ----------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.building = True
        with self.another() as holder:
            with transaction(holder, opening(self.dialect, self.table, self.patience, stay=True)) as answers:
                if not all(answers):
                    raise Busy(ANOTHER)
                plan = self.replan()
                refuse(plan)
                for build in plan.concurrent:
                    self._build_one(build)
                after = self.replan()
                if after.changes:
                    raise UpgradeIncomplete(table=str(self.table), pending=", ".join(map(str, after.changes)))
                if self.unlogged:
                    self._record(holder, after)
            self._committed()

    def _build_one(self, build: Build) -> None:
        refuse_while_built(self.connection, self.dialect, self.table)
        wait_ms = max(int(self.patience.wait_seconds * 1000), self.patience.lock_timeout_ms)
        with build_timeouts(self.connection, self.dialect, wait_ms):
            for statement in self._rendered([build]):
                try:
                    with watched(self.connection, self.dialect, self.table, self.patience):
                        self._execute(statement, NOT_BUILT)
                except (exc.DBAPIError, StatementFailed):
                    self._drop_unfinished(build)
                    raise
                self.statements, self.unlogged = (*self.statements, statement), True

    def _drop_unfinished(self, build: Build) -> None:
        """Drop what an interrupted build left: it costs every write. If that fails too, the next attempt will do it."""
        if self.connection.invalidated:
            return
        with suppress(exc.DBAPIError):
            for left in self.replan().concurrent:
                if isinstance(left, RebuildIndex) and left.name == build.name:
                    send(self.connection, self._rendered([left])[0])

    # --- what was in the way -----------------------------------------------------------------------------------

    def _in_the_way(self) -> tuple[Client, ...]:
        with suppress(exc.DBAPIError):
            found = holders(self.connection, self.dialect, self.table, lock_key(self.table))
            return found or (snapshots(self.connection, self.dialect) if self.statements else ())
        return ()

    def _renewed(self) -> bool:
        with suppress(exc.DBAPIError):
            renew(self.connection)
            return True
        return False

    def _gave_up(self, waited: str, *, lost: bool) -> StorageAdminError:
        if lost:
            database = displayed_url(self.connection.engine.url)
            return ConnectionLost(database=database, table=str(self.table), problem=waited)
        return LockNotObtained(
            table=str(self.table),
            waited=f"{waited}; gave up after {self.patience.wait_seconds:g} s",
            done="the columns are there, and an index is still to be built"
            if self.statements
            else "nothing was changed",
        )

    def interrupted(self, interrupt: KeyboardInterrupt) -> Interrupted:
        """What is known of the table where a signal ended the work on it."""
        if self.sent:
            left = f"whether its transaction was committed is not known; {CHECK}"
        elif self.begun and not self.dialect.transactional_ddl:
            left = f"the server may still finish a statement that it has; {CHECK}"
        elif self.building:
            columns = "the columns are there, and " if self.statements else ""
            left = f"{columns}an index is still to be built: the next run removes what this one left of it"
        else:
            left = "it was rolled back, and is as it was"
        error = Interrupted(table=str(self.table), left=left)
        error.exit_code = getattr(interrupt, "exit_code", error.exit_code)
        return error

    def _no_rights(self, error: StatementFailed) -> StorageAdminError:
        server = server_facts(self.connection, self.dialect)
        facts = table_facts(self.connection, self.dialect, [self.table.name]).get(self.table)
        return no_rights(self.plan, self.dialect, server.role if server else "", facts, error.problem)

    # --- one statement -----------------------------------------------------------------------------------------

    def _rendered(self, changes: Iterable[Change]) -> tuple[str, ...]:
        changes = tuple(changes)
        if not changes:
            return ()
        # It costs a tenth of a second to import: only who has something to do pays for it.
        from storage_admin.render import render_changes

        return render_changes(self.table, changes, self.dialect)

    def _run(self, statement: str) -> str:
        """Run a statement the cheapest way that the server supports; return what was run."""
        problem = ""
        for way in ways(statement, self.dialect, copy=self.patience.allow_copy):
            try:
                self._execute(way, UNCHANGED if self.dialect.transactional_ddl else PERHAPS)
            except Unsupported as refused:
                problem = str(refused)
                continue
            if not self.dialect.transactional_ddl:
                self.statements, self.unlogged = (*self.statements, way), True
            return way
        raise NeedsCopy(table=str(self.table), statement=_shortened(statement), problem=problem)

    def _execute(self, statement: str, left: str) -> None:
        started = time.perf_counter()
        try:
            send(self.connection, statement)
        except exc.DBAPIError as error:
            if is_lock_timeout(error, self.dialect) or error.connection_invalidated:
                raise
            if sql_state(error) in self.dialect.unsupported_states:
                raise Unsupported(driver_message(error)) from None
            problem = driver_message(error)
            raise StatementFailed(
                table=str(self.table),
                statement=_shortened(statement),
                problem=problem,
                state=sql_state(error),
                left=left,
                advice=advice_for(problem),
            ) from error
        finally:
            self.seconds += time.perf_counter() - started

    # --- the log -----------------------------------------------------------------------------------------------

    def _record(self, connection: Connection, after: Plan) -> None:
        unfinished = after.changes or after.deferred or after.beyond_repair
        self.version = version = after.version or 0 if unfinished else self.plan.target_version
        revision = history.Revision(
            table=self.table,
            kinds=self.plan.kinds,
            from_version=self.plan.version,
            to_version=version,
            baseline=self.plan.live is not None,
            statements=(*self.statements, *self.sent),
            duration_ms=round(self.seconds * 1000),
            tool_version=self.tool_version,
        )
        self.not_recorded = self.log.record(connection, revision)


def _shortened(statement: str) -> str:
    line = " ".join(statement.split())
    return line if len(line) <= SHOWN else f"{line[:SHOWN]}..."
