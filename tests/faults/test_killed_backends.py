"""The server's side breaks in the middle of an index build: the truth is told, and the next upgrade ends current."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import psycopg
import pytest

from storage_admin import Patience, Status, UpgradeFailed
from tests.faults.clients import Upgrader, until, upgrading
from tests.faults.tables import BUILDING, NEW_COLUMN, fingerprint, indexes, large_table, sound

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Database
    from tests.faults.conftest import Scale
    from tests.servers import Server

INDEX = "ix_ai_sessions_team_session_id"
BUILD = f"CREATE INDEX CONCURRENTLY {INDEX} ON ai.sessions ({NEW_COLUMN})"


@contextmanager
def old_snapshot(database: Database) -> Iterator[None]:
    """While it lasts, no concurrent index build comes to its end."""
    with psycopg.connect(database.dsn, application_name="nightly report") as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute("SELECT count(*) FROM pg_class")
        yield


def builder(database: Database) -> int:
    """The server process that builds an index, as soon as there is one."""
    until(lambda: database.run(BUILDING), "nobody builds an index")
    [(pid,)] = database.run(BUILDING)
    return int(pid)


@pytest.mark.parametrize("how", ["pg_cancel_backend", "pg_terminate_backend"])
def test_a_build_that_an_administrator_ends_is_told_or_done_again(postgres: Database, scale: Scale, how: str) -> None:
    table = large_table(postgres, scale.rows)
    rows = fingerprint(postgres, table)
    with upgrading("--db-url", postgres.url) as upgrader:
        with old_snapshot(postgres):
            postgres.run(f"SELECT {how}({builder(postgres)})")
            until(lambda: how == "pg_terminate_backend" or not upgrader.running(), "a cancelled upgrade goes on")
        ended = upgrader.end()
    current = postgres.admin().check([table]).status is Status.CURRENT
    assert (ended.code == 0) == current, ended
    if not current:
        assert "cancel" in ended.err or "terminat" in ended.err
        assert INDEX in ended.err
    assert False not in indexes(postgres, table).values(), "an invalid index is left, which costs every write"
    with upgrading("--db-url", postgres.url) as upgrader:
        assert upgrader.end().code == 0
    sound(postgres, table)
    assert fingerprint(postgres, table) == rows


def test_a_server_process_that_is_killed_takes_the_server_down_and_the_next_upgrade_mends_it(
    own: tuple[Server, Database], scale: Scale
) -> None:
    server, database = own
    table = large_table(database, scale.rows)
    rows = fingerprint(database, table)
    with upgrading("--db-url", database.url) as upgrader:
        with suppress(psycopg.OperationalError), old_snapshot(database):  # its own line is cut too
            os.kill(builder(database), signal.SIGKILL)
            until(lambda: "all server processes terminated" in server.log(), "the server has not noticed")
        ended = upgrader.end()
    until(lambda: answers(database), "the server does not recover")
    current = database.admin().check([table]).status is Status.CURRENT
    assert (ended.code == 0) == current, ended
    with upgrading("--db-url", database.url) as upgrader:
        assert upgrader.end().code == 0
    sound(database, table)
    assert fingerprint(database, table) == rows


def answers(database: Database) -> bool:
    try:
        return bool(database.run("SELECT 1"))
    except psycopg.OperationalError:
        return False


def test_an_index_that_a_cancelled_build_left_is_built_again(postgres: Database, scale: Scale) -> None:
    table = large_table(postgres, scale.rows)
    postgres.run(f"ALTER TABLE {table} ADD COLUMN {NEW_COLUMN} VARCHAR")
    with psycopg.connect(postgres.dsn, autocommit=True) as dba:
        with old_snapshot(postgres):
            building = threading.Thread(target=cancelled_build, args=(dba,))
            building.start()
            postgres.run(f"SELECT pg_cancel_backend({builder(postgres)})")
            building.join(timeout=30)
        assert indexes(postgres, table)[f"ai.{INDEX}"] is False
    [plan] = postgres.admin().check([table]).plans
    assert [str(change) for change in plan.changes] == [f"rebuild index {INDEX}"]
    postgres.admin().upgrade()
    sound(postgres, table)


def cancelled_build(connection: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.QueryCanceled):
        connection.execute(BUILD)


def test_an_index_that_somebody_is_building_is_neither_touched_nor_built_twice(
    postgres: Database, scale: Scale
) -> None:
    table = large_table(postgres, scale.rows)
    postgres.run(f"ALTER TABLE {table} ADD COLUMN {NEW_COLUMN} VARCHAR")
    waiting = Upgrader("--db-url", postgres.url)
    with psycopg.connect(postgres.dsn, autocommit=True, application_name="a dba") as dba:
        with old_snapshot(postgres):
            building = threading.Thread(target=dba.execute, args=(BUILD,))
            building.start()
            pid = builder(postgres)
            with pytest.raises(UpgradeFailed, match=f"being built by pid {pid} .a dba") as gave_up:
                postgres.admin().upgrade(patience=Patience(100, 0.5))
            assert gave_up.value.exit_code == 5
            assert postgres.run(BUILDING) == [(pid,)]
            waiting.go()
        building.join(timeout=30)
    ended = waiting.end()
    assert ended.code == 0, ended
    assert INDEX in str(indexes(postgres, table))
    assert len([index for index in indexes(postgres, table) if NEW_COLUMN in index]) == 1
    sound(postgres, table)
