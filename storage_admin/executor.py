"""Runs plans. The only module that issues DDL."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa
from sqlalchemy import exc, inspect
from sqlalchemy.schema import DropTable

from storage_admin import history
from storage_admin.changes import Status
from storage_admin.database import advice_for, driver_message, send, sql_state, transaction
from storage_admin.errors import LockNotObtained, SchemaAhead, SchemaDrifted, StatementFailed, UpgradeIncomplete
from storage_admin.locking import Busy, Patience, attempts, enter, is_lock_timeout

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from storage_admin.changes import Plan
    from storage_admin.dialects import Dialect
    from storage_admin.schema import TableName

RACES = 3
SHOWN = 120
RACED = "somebody else created the log at the same moment"


class Applied(msgspec.Struct, frozen=True):
    """What one upgrade did: the plan that was run, its statements, how long they took, whether they were recorded."""

    plan: Plan
    statements: tuple[str, ...] = ()
    seconds: float = 0.0
    not_recorded: str | None = None


def apply(
    connection: Connection,
    dialect: Dialect,
    plan: Plan,
    replan: Callable[[], Plan],
    patience: Patience,
    tool_version: str,
) -> Applied:
    """Bring one table to the target of its plan, in one transaction.

    ``replan`` looks at the table again and plans anew; it is asked inside the lock, since another process may have
    been faster, and after the last statement, since only an empty plan is a success.

    Raises:
        SchemaDrifted, SchemaAhead: the table may not be touched.
        LockNotObtained: somebody held the table, or another upgrade of it ran, until the time was over.
        StatementFailed, UpgradeIncomplete: rolled back.
    """
    refuse(plan)
    waited = "another process is upgrading it"
    races = 0
    for _ in attempts(patience):
        try:
            with transaction(connection, dialect):
                enter(connection, dialect, plan.table, patience)
                return _apply(connection, dialect, replan, tool_version)
        except Busy:
            waited = "another process is upgrading it"
        except StatementFailed as error:
            # Somebody who does not know our lock, such as Agno itself, made the same thing first: look again.
            races += 1
            if error.state not in dialect.raced_states or races > RACES:
                raise
        except exc.DBAPIError as error:
            if not is_lock_timeout(error, dialect):
                raise
            waited = f"it is in use by others ({driver_message(error)})"
    raise LockNotObtained(table=str(plan.table), waited=f"{waited}; gave up after {patience.wait_seconds:g} s")


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


def _apply(connection: Connection, dialect: Dialect, replan: Callable[[], Plan], tool_version: str) -> Applied:
    plan = replan()
    refuse(plan)
    if not plan.runnable:
        return Applied(plan)
    statements = _rendered(plan, dialect)
    started = time.perf_counter()
    for statement in statements:
        _execute(connection, dialect, statement, plan)
    seconds = time.perf_counter() - started
    after = replan()
    if after.changes:
        raise UpgradeIncomplete(table=str(plan.table), pending=", ".join(map(str, after.changes)))
    revision = history.Revision(
        table=plan.table,
        kinds=plan.kinds,
        from_version=plan.version,
        to_version=after.version or 0 if after.deferred else plan.target_version,
        baseline=plan.live is not None,
        statements=statements,
        duration_ms=round(seconds * 1000),
        tool_version=tool_version,
    )
    return Applied(plan, statements, seconds, _record(connection, dialect, revision))


def _rendered(plan: Plan, dialect: Dialect) -> tuple[str, ...]:
    # Alembic writes into an application's log how it works ("will assume non-transactional DDL"), not what we do.
    logger = logging.getLogger("alembic")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        # It costs a tenth of a second to import: only who has something to do pays for it.
        from storage_admin.render import render

        return render(plan, dialect)
    finally:
        logger.setLevel(level)


def _execute(connection: Connection, dialect: Dialect, statement: str, plan: Plan) -> None:
    try:
        send(connection, statement)
    except exc.DBAPIError as error:
        if is_lock_timeout(error, dialect) or error.connection_invalidated:
            raise
        problem = driver_message(error)
        raise StatementFailed(
            table=str(plan.table),
            statement=_shortened(statement),
            problem=problem,
            state=sql_state(error),
            advice=advice_for(problem),
        ) from error


def _shortened(statement: str) -> str:
    line = " ".join(statement.split())
    return line if len(line) <= SHOWN else f"{line[:SHOWN]}..."


def _record(connection: Connection, dialect: Dialect, revision: history.Revision) -> str | None:
    # A role that may alter a table need not be allowed to create one beside it: the upgrade counts all the same.
    problem = _try_record(connection, dialect, revision)
    return problem and (_try_record(connection, dialect, revision) if problem == RACED else problem)


def _try_record(connection: Connection, dialect: Dialect, revision: history.Revision) -> str | None:
    send(connection, "SAVEPOINT storage_admin_history")
    try:
        if not inspect(connection).has_table(history.REVISIONS, schema=revision.table.schema):
            connection.execute(history.creation(revision.table.schema))
        history.record(connection, revision)
    except exc.DBAPIError as error:
        send(connection, "ROLLBACK TO SAVEPOINT storage_admin_history")
        return RACED if sql_state(error) in dialect.raced_states else driver_message(error)
    send(connection, "RELEASE SAVEPOINT storage_admin_history")
    return None
