"""The server's side breaks in the middle of an index build: the truth is told, and the next upgrade ends current."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

import psycopg
import pytest

from storage_admin import Patience, Status, UpgradeFailed
from tests.faults.builds import BUILDING, answers, builder, held_up, old_snapshot
from tests.faults.clients import Upgrader, until, upgrading
from tests.faults.tables import NEW_COLUMN, fingerprint, indexes, large_table, sound

if TYPE_CHECKING:
    from tests.conftest import Database
    from tests.servers import Server

INDEX = "ix_ai_sessions_team_session_id"
BUILD = f"CREATE INDEX CONCURRENTLY {INDEX} ON ai.sessions ({NEW_COLUMN})"


@pytest.mark.parametrize("how", ["pg_cancel_backend", "pg_terminate_backend"])
def test_a_build_that_an_administrator_ends_is_told_or_done_again(postgres: Database, how: str) -> None:
    table = large_table(postgres)
    rows = fingerprint(postgres, table)
    with held_up(postgres) as held:
        postgres.run(f"SELECT {how}({held.pid})")
        if how == "pg_terminate_backend":  # it comes back, and builds anew
            until(lambda: held.pid not in (pid for (pid,) in postgres.run(BUILDING)), "a terminated build goes on")
            held.release()
        ended = held.upgrader.end()
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
    own: tuple[Server, Database],
) -> None:
    server, database = own
    table = large_table(database)
    rows = fingerprint(database, table)
    with held_up(database) as held:
        os.kill(held.pid, signal.SIGKILL)
        until(lambda: "all server processes terminated" in server.log(), "the server has not noticed")
        ended = held.upgrader.end()
    until(lambda: answers(database), "the server does not recover")
    current = database.admin().check([table]).status is Status.CURRENT
    assert (ended.code == 0) == current, ended
    with upgrading("--db-url", database.url) as upgrader:
        assert upgrader.end().code == 0
    sound(database, table)
    assert fingerprint(database, table) == rows


def test_an_index_that_a_cancelled_build_left_is_built_again(postgres: Database) -> None:
    table = large_table(postgres)
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


def test_an_index_that_somebody_is_building_is_neither_touched_nor_built_twice(postgres: Database) -> None:
    table = large_table(postgres)
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
