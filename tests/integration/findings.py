"""How the tests of `doctor` ask, and what they provoke it with."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
from psycopg import sql

from storage_admin import Finding, StorageAdmin
from storage_admin.doctor import Level
from tests.conftest import Database


def found(database: Database, rule: str, *, url: str | None = None, long: float = 0.0) -> list[Finding]:
    """The findings of a rule that are worth a word."""
    diagnosis = StorageAdmin(url or database.url).doctor(long=long)
    assert rule in {finding.rule for finding in diagnosis.findings}, [f.seen for f in diagnosis.findings]
    return [f for f in diagnosis.findings if f.rule == rule and f.level is not Level.OK]


def current_agents(database: Database, name: str = "sessions") -> str:
    database.admin().upgrade([f"{database.table(name)}=agent"])
    return database.table(name)


@contextmanager
def role(database: Database, name: str, *statements: str) -> Iterator[str]:
    """A role, and the URL for it."""
    database.run(f"CREATE ROLE {name} LOGIN")
    try:
        for statement in statements:
            database.run(statement)
        yield database.url.replace("://postgres@", f"://{name}@")
    finally:
        database.run(f"DROP OWNED BY {name} CASCADE; DROP ROLE {name}")


@contextmanager
def transaction(database: Database, *statements: str, application: str = "a report") -> Iterator[psycopg.Connection]:
    """An open transaction of somebody else."""
    with psycopg.connect(database.dsn, application_name=application) as connection:
        for statement in statements:
            connection.execute(statement)
        yield connection


@contextmanager
def running(database: Database, statement: str, until: str) -> Iterator[None]:
    """A statement that somebody runs, once it is where ``until`` finds it; cancelled at the end."""
    with (
        psycopg.connect(database.dsn, autocommit=True, application_name="a dba") as connection,
        psycopg.connect(database.dsn, autocommit=True) as watcher,
    ):

        def run() -> None:
            with suppress(psycopg.errors.QueryCanceled):
                connection.execute(sql.SQL(statement))

        thread = threading.Thread(target=run)
        thread.start()
        while watcher.execute(sql.SQL(until)).fetchone() is None:
            assert thread.is_alive()
        yield
        connection.cancel()
        thread.join(timeout=30)
