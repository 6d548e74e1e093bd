"""Index builds on tables that are too large to hold their writers up: outside the transaction, and never half done."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from storage_admin import Patience, Status, UpgradeFailed
from storage_admin.dialects import POSTGRES
from tests.conftest import Database
from tests.integration.tables import old_agents

INDEX = "ix_ai_sessions_team_session_id"
BUILD = f"CREATE INDEX CONCURRENTLY {INDEX} ON ai.sessions (team_session_id)"
SOON = Patience(lock_timeout_ms=50, wait_seconds=0.5)


def large_agents(database: Database, name: str = "sessions") -> str:
    """An outdated table whose rows take more than what is built in a transaction."""
    table = old_agents(database, name)
    rows = (POSTGRES.small_bytes or 0) // 1000 + 100
    database.run(
        f"INSERT INTO {table} (session_id, user_id) SELECT 's' || g, repeat(md5(g::text), 30) "
        f"FROM generate_series(1, {rows}) g"
    )
    return table


def indexes(database: Database) -> dict[str, bool]:
    """The indexes of the table, and whether each is valid."""
    query = (
        "SELECT c.relname, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
        "WHERE i.indrelid = 'ai.sessions'::regclass AND NOT i.indisprimary"
    )
    return dict(database.run(query))


@contextmanager
def old_snapshot(database: Database) -> Iterator[psycopg.Connection]:
    """A transaction that every concurrent index build waits for."""
    with psycopg.connect(database.dsn, application_name="a report") as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute("SELECT 'a secret' FROM pg_class LIMIT 1")
        yield connection


def leave_invalid(database: Database) -> None:
    """Leave what an interrupted build leaves."""
    database.run("ALTER TABLE ai.sessions ADD COLUMN IF NOT EXISTS team_session_id VARCHAR")
    with old_snapshot(database), psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute("SET lock_timeout = '50ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            connection.execute(BUILD)
    assert indexes(database)[INDEX] is False


def test_the_columns_of_a_large_table_come_in_a_transaction_and_its_indexes_after_it(postgres: Database) -> None:
    name = large_agents(postgres)
    [plan] = postgres.admin().plan().plans
    assert [build.concurrently for build in plan.builds] == [True]
    [outcome] = postgres.admin().upgrade().outcomes
    assert outcome.statements == ("ALTER TABLE ai.sessions ADD COLUMN team_session_id VARCHAR", BUILD)
    assert postgres.admin().check().status is Status.CURRENT
    [revision] = postgres.admin().history(name)
    assert (revision.statements, revision.to_version) == (outcome.statements, 10)
    assert postgres.run("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]


def test_the_lock_is_held_without_a_snapshot_while_an_index_is_built(postgres: Database) -> None:
    large_agents(postgres)
    with old_snapshot(postgres) as report, psycopg.connect(postgres.dsn, autocommit=True) as watcher:
        upgrade = threading.Thread(target=postgres.admin().upgrade)
        upgrade.start()
        holder = None
        while holder is None:
            holder = watcher.execute(
                "SELECT a.backend_xmin, a.backend_xid, a.state FROM pg_stat_activity a JOIN pg_locks l USING (pid) "
                "WHERE locktype = 'advisory' AND EXISTS (SELECT FROM pg_stat_progress_create_index WHERE phase ~ 'old')"
            ).fetchone()
            assert upgrade.is_alive()
        assert holder == (None, None, "idle in transaction")
        with pytest.raises(UpgradeFailed, match="another process is upgrading it") as second:
            postgres.admin().upgrade(patience=SOON)
        assert second.value.exit_code == 5
        report.rollback()
        upgrade.join(timeout=30)
    assert postgres.admin().check().status is Status.CURRENT


def test_a_build_that_waits_too_long_is_given_up_with_who_is_in_the_way_and_leaves_nothing(postgres: Database) -> None:
    large_agents(postgres)
    with old_snapshot(postgres):
        with pytest.raises(UpgradeFailed, match=r"in use by pid \d+ \(a report, .*; the columns are there") as failed:
            postgres.admin().upgrade(patience=SOON)
        assert failed.value.exit_code == 5
        assert "secret" not in str(failed.value)
        assert INDEX not in indexes(postgres)
        [plan] = postgres.admin().check().plans
        assert [str(change) for change in plan.changes] == [f"create index {INDEX}"]
    assert postgres.admin().upgrade().outcomes[0].statements == (BUILD,)
    first, second = postgres.admin().history()
    assert (first.to_version < 10, first.baseline, second.to_version) == (True, True, 10)


def test_an_invalid_index_of_ours_is_dropped_and_built_again(postgres: Database) -> None:
    large_agents(postgres)
    leave_invalid(postgres)
    [plan] = postgres.admin().check().plans
    assert [str(change) for change in plan.changes] == [f"rebuild index {INDEX}"]
    statements = postgres.admin().upgrade().outcomes[0].statements
    assert statements == (f"DROP INDEX CONCURRENTLY ai.{INDEX}", BUILD)
    assert indexes(postgres)[INDEX] is True


def test_an_invalid_index_of_somebody_else_is_kept_and_one_of_ours_is_made(postgres: Database) -> None:
    large_agents(postgres)
    leave_invalid(postgres)
    postgres.run(f"ALTER INDEX ai.{INDEX} RENAME TO mine")
    postgres.admin().upgrade()
    assert (indexes(postgres)["mine"], indexes(postgres)[INDEX]) == (False, True)
    assert postgres.admin().check().status is Status.CURRENT


def test_an_index_that_somebody_is_building_is_waited_for(postgres: Database) -> None:
    large_agents(postgres)
    postgres.run("ALTER TABLE ai.sessions ADD COLUMN team_session_id VARCHAR")
    with (
        old_snapshot(postgres) as report,
        psycopg.connect(postgres.dsn, autocommit=True, application_name="a dba") as dba,
        psycopg.connect(postgres.dsn, autocommit=True) as watcher,
    ):
        building = threading.Thread(target=dba.execute, args=(BUILD,))
        building.start()
        while watcher.execute("SELECT count(*) FROM pg_stat_progress_create_index WHERE phase ~ 'old'").fetchone() == (
            0,
        ):
            assert building.is_alive()
        with pytest.raises(UpgradeFailed, match=r"an index on it is being built by pid \d+ \(a dba"):
            postgres.admin().upgrade(patience=SOON)
        upgrade = threading.Thread(target=postgres.admin().upgrade)
        upgrade.start()
        report.rollback()
        building.join(timeout=30)
        upgrade.join(timeout=30)
    assert indexes(postgres)[INDEX] is True
    assert postgres.admin().check().status is Status.CURRENT


def test_a_role_with_a_statement_timeout_builds_its_indexes_and_keeps_its_settings(postgres: Database) -> None:
    large_agents(postgres)
    postgres.run(
        "CREATE ROLE hasty LOGIN SUPERUSER; ALTER ROLE hasty SET statement_timeout = '80ms';"
        "ALTER ROLE hasty SET lock_timeout = '40ms'"
    )
    engine = postgres.engine()
    hasty = engine.url.set(username="hasty")
    try:
        with old_snapshot(postgres) as report:
            upgrade = threading.Thread(target=lambda: type(postgres.admin())(hasty).upgrade())
            upgrade.start()
            with psycopg.connect(postgres.dsn, autocommit=True) as watcher:
                while (
                    watcher.execute("SELECT 1 FROM pg_stat_progress_create_index WHERE phase ~ 'old'").fetchone()
                    is None
                ):
                    assert upgrade.is_alive()
                watcher.execute("SELECT pg_sleep(0.2)")  # the time that would be too long
            report.rollback()
            upgrade.join(timeout=30)
        assert postgres.admin().check().status is Status.CURRENT
    finally:
        postgres.run("DROP OWNED BY hasty; DROP ROLE hasty")


def test_a_large_partitioned_table_gets_its_columns_and_words_about_its_indexes(postgres: Database) -> None:
    postgres.run("CREATE SCHEMA ai")
    columns = (
        "user_id varchar, memory jsonb, session_data jsonb, extra_data jsonb, created_at bigint, updated_at bigint"
    )
    postgres.run(
        f"CREATE TABLE ai.sessions (session_id varchar PRIMARY KEY, {columns}, agent_id varchar, agent_data jsonb) "
        "PARTITION BY HASH (session_id);"
        "CREATE TABLE ai.part PARTITION OF ai.sessions FOR VALUES WITH (MODULUS 1, REMAINDER 0)"
    )
    rows = (POSTGRES.small_bytes or 0) // 1000 + 100
    postgres.run(
        "INSERT INTO ai.sessions (session_id, user_id) SELECT 's' || g, repeat(md5(g::text), 30) "
        f"FROM generate_series(1, {rows}) g"
    )
    for _ in range(2):
        with pytest.raises(
            UpgradeFailed, match=r"is a partitioned table of (?s:.)*CREATE INDEX ix_ai_sessions_agent_id"
        ) as no:
            postgres.admin().upgrade()
        assert no.value.exit_code == 1
    assert postgres.run("SELECT count(team_session_id) FROM ai.sessions") == [(0,)]
    postgres.run("TRUNCATE ai.sessions")
    postgres.admin().upgrade()
    assert postgres.admin().check().status is Status.CURRENT
