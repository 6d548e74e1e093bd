"""Index builds that are under way, for as long as a test wants."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import psycopg

from tests.faults.clients import Upgrader, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Database

BUILDING = (  # the primary key of our log is built as well, for an instant
    "SELECT pid FROM pg_stat_progress_create_index "
    "WHERE datname = current_database() AND command = 'CREATE INDEX CONCURRENTLY'"
)


@contextmanager
def old_snapshot(database: Database) -> Iterator[psycopg.Connection]:
    """While it lasts, no concurrent index build comes to its end. The server may be gone at the end."""
    with suppress(psycopg.OperationalError), psycopg.connect(database.dsn, application_name="nightly report") as held:
        held.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        held.execute("SELECT count(*) FROM pg_class")
        yield held


def builder(database: Database) -> int:
    """The server process that builds an index, as soon as there is one."""
    until(lambda: database.run(BUILDING), "nobody builds an index")
    [(pid,)] = database.run(BUILDING)
    return int(pid)


class HeldUp:
    """An upgrade whose index build, by the process ``pid`` of the server, goes on until the snapshot is released."""

    def __init__(self, upgrader: Upgrader, pid: int, snapshot: psycopg.Connection) -> None:
        self.upgrader, self.pid, self.snapshot = upgrader, pid, snapshot

    def release(self) -> None:
        self.snapshot.close()


@contextmanager
def held_up(database: Database, *arguments: str) -> Iterator[HeldUp]:
    """Start an upgrade, and let it come as far as its index build."""
    upgrader = Upgrader(*arguments, "--db-url", database.url)
    try:
        with old_snapshot(database) as snapshot:
            upgrader.go()
            yield HeldUp(upgrader, builder(database), snapshot)
    finally:
        if upgrader.running():
            upgrader.kill()


def answers(database: Database) -> bool:
    """Whether the server takes connections."""
    try:
        return bool(database.run("SELECT 1"))
    except psycopg.OperationalError:
        return False
