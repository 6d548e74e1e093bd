"""What an index build on a large table needs: it runs outside a transaction, while others go on reading and writing."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import TYPE_CHECKING

from sqlalchemy import exc

from storage_admin.access import blockers, builders, listed, server_facts
from storage_admin.database import autocommit, backend_pid, checked_out, send
from storage_admin.errors import StorageAdminError
from storage_admin.locking import Busy, Watch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

    from storage_admin.dialects import Dialect
    from storage_admin.locking import Patience
    from storage_admin.schema import TableName

LOOK_SECONDS = 0.5
SETTINGS = ("lock_timeout", "statement_timeout")


def refuse_while_built(connection: Connection, dialect: Dialect, table: TableName) -> None:
    """Leave a table alone while somebody is building an index on it: an invalid one may become valid by itself.

    Raises:
        Busy
    """
    if others := builders(connection, dialect, table):
        raise Busy(f"an index on it is being built by {listed(others)}")


@contextmanager
def watched(connection: Connection, dialect: Dialect, table: TableName, patience: Patience) -> Iterator[None]:
    """Tell for whom an index build waits, which is one statement: from another thread, on another connection."""
    pid = backend_pid(connection)
    if pid is None or not dialect.blockers or patience.told is None:
        yield
        return
    over = Event()
    thread = Thread(target=_tell, args=(connection.engine, dialect, pid, str(table), patience, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _tell(engine: Engine, dialect: Dialect, pid: int, table: str, patience: Patience, over: Event) -> None:
    if over.wait(LOOK_SECONDS):
        return
    watch = None
    with suppress(exc.SQLAlchemyError, StorageAdminError), checked_out(engine) as connection:
        autocommit(connection)
        while not over.wait(LOOK_SECONDS):
            others = blockers(connection, dialect, pid)
            watch = (watch or Watch(table, patience)) if others else None  # a build waits several times
            if watch is not None:
                watch.tell(f"the index build waits for {listed(others)}", others[0].pid)


@contextmanager
def build_timeouts(connection: Connection, dialect: Dialect, wait_ms: int) -> Iterator[None]:
    """Let a statement take as long as it takes, and wait for any one other session no longer than ``wait_ms``.

    Behind a pooler nothing is set: a setting of the session would reach other clients, and one of a transaction is not
    to be had, since an index is not built concurrently in one.
    """
    server = server_facts(connection, dialect)
    if server is None or server.pooled:
        yield
        return
    found = send(connection, "SELECT " + ", ".join(f"pg_catalog.current_setting('{name}')" for name in SETTINGS)).one()
    _set(connection, (str(wait_ms), "0"))
    try:
        yield
    finally:
        if not connection.invalidated:
            _set(connection, tuple(map(str, found)))


def _set(connection: Connection, values: tuple[str, ...]) -> None:
    pairs = zip(SETTINGS, values, strict=True)  # names of ours, and numbers with a unit
    send(
        connection, "SELECT " + ", ".join(f"pg_catalog.set_config('{name}', '{value}', false)" for name, value in pairs)
    )
