"""Somebody keeps a table busy: readers and writers hardly notice that we try, and we say who it is."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import psycopg
import pytest

from storage_admin import Status
from tests.faults.clients import ROOT, until, upgrading
from tests.faults.tables import NEW_COLUMN, indexes, large_table, outdated_again, sound
from tests.integration.tables import old_agents

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Database
    from tests.faults.conftest import Scale

LOCK_TIMEOUT = 200  # ms, the default

# In a process of its own: its statements must not wait for another thread of ours.
TRAFFIC = """
import select, sys, time, psycopg
dsn, statement = sys.argv[1:]
with psycopg.connect(dsn, autocommit=True) as connection:
    print("ready", flush=True)
    longest, count = 0.0, 0
    while not select.select([0], [], [], 0.002)[0]:
        began = time.perf_counter()
        connection.execute(statement, (f"s{count % 1000 + 1}",))
        longest, count = max(longest, time.perf_counter() - began), count + 1
print(longest * 1000, count)
"""
READ = "SELECT memory FROM ai.sessions WHERE session_id = %s"
WRITE = "UPDATE ai.sessions SET updated_at = 1 WHERE session_id = %s"

ALEMBIC = """
import sys, sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
engine = sa.create_engine(sys.argv[1].replace("postgresql:", "postgresql+psycopg:"))
with engine.begin() as connection:
    column = sa.Column("team_session_id", sa.String)
    Operations(MigrationContext.configure(connection)).add_column("sessions", column, schema="ai")
"""


class Traffic:
    """Readers or writers, every 2 ms. ``longest`` is the longest wait of one statement, in ms."""

    longest = 0.0
    count = 0


@contextmanager
def traffic(database: Database, statement: str) -> Iterator[Traffic]:
    process = subprocess.Popen(
        [sys.executable, "-c", TRAFFIC, database.dsn, statement],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    measured = Traffic()
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    try:
        yield measured
    finally:
        out, _ = process.communicate("end\n", timeout=60)
    measured.longest, measured.count = float(out.split()[0]), int(out.split()[1])


@contextmanager
def blocker(database: Database) -> Iterator[psycopg.Connection]:
    """A session that has read the table and sits on its transaction."""
    with psycopg.connect(database.dsn, application_name="nightly report") as connection:
        connection.execute("SELECT user_id FROM ai.sessions WHERE session_id = 'CANARY-content' OR created_at = 4711")
        yield connection


def test_readers_wait_for_one_lock_timeout_at_most_where_alembic_stalls_them_all_the_time(
    postgres: Database, scale: Scale
) -> None:
    table = large_table(postgres, scale.rows)
    old_indexes = set(indexes(postgres, table))
    with traffic(postgres, READ) as readers, traffic(postgres, WRITE) as writers, ExitStack() as busy:
        busy.enter_context(blocker(postgres))
        with upgrading("--db-url", postgres.url) as upgrader:
            time.sleep(scale.hold)  # this is what is measured
            assert upgrader.running()
            busy.close()
            ended = upgrader.end()
    assert ended.code == 0, ended
    sound(postgres, table)
    print(f"longest wait: reader {readers.longest:.0f} ms, writer {writers.longest:.0f} ms")  # noqa: T201 - -rA shows it
    assert readers.longest <= LOCK_TIMEOUT + scale.slack, (readers.longest, readers.count)
    assert writers.longest <= LOCK_TIMEOUT + scale.slack, (writers.longest, writers.count)
    assert readers.count > scale.hold * 50

    outdated_again(postgres, table, old_indexes)
    with traffic(postgres, READ) as stalled, blocker(postgres):
        alembic = subprocess.Popen([sys.executable, "-c", ALEMBIC, postgres.url], cwd=ROOT)
        waiting = "SELECT count(*) >= 2 FROM pg_locks WHERE NOT granted"
        until(lambda: postgres.run(waiting) == [(True,)], "Alembic waits, and a reader behind it")
        time.sleep(scale.hold)
    assert alembic.wait(timeout=60) == 0
    print(f"longest wait beside Alembic: {stalled.longest:.0f} ms")  # noqa: T201 - -rA shows it
    assert stalled.longest >= scale.hold * 1000
    assert stalled.longest > readers.longest


def test_writers_go_on_while_an_index_is_built(
    postgres: Database, scale: Scale, request: pytest.FixtureRequest
) -> None:
    table = large_table(postgres, scale.rows)
    with traffic(postgres, WRITE) as writers, upgrading("--db-url", postgres.url) as upgrader:
        ended = upgrader.end()
    assert ended.code == 0, ended
    sound(postgres, table)
    print(f"longest wait of a writer: {writers.longest:.0f} ms")  # noqa: T201 - -rA shows it
    if not request.config.getoption("--full"):
        assert writers.longest <= scale.slack
        return
    assert writers.longest <= 50, writers.longest
    with traffic(postgres, WRITE) as stalled:
        postgres.run(f"CREATE INDEX plain ON {table} (user_id)")
    print(f"longest wait beside a plain build: {stalled.longest:.0f} ms")  # noqa: T201 - -rA shows it
    assert stalled.longest >= 200, stalled.longest


def test_who_is_in_the_way_is_named_without_what_they_look_for(postgres: Database, scale: Scale) -> None:
    table = large_table(postgres, scale.rows)
    with blocker(postgres) as connection:
        with upgrading("--wait", "1", "--lock-timeout", "50", "--db-url", postgres.url) as upgrader:
            ended = upgrader.end()
        pid = connection.info.backend_pid
    assert ended.code == 5, ended
    for words in (f"pid {pid}", "nightly report", "idle in transaction", "SELECT user_id FROM ai.sessions", "--wait"):
        assert words in ended.err
    for content in ("CANARY", "4711"):
        assert content not in ended.err + ended.out
    assert "nothing was changed" in ended.err
    assert NEW_COLUMN not in str(postgres.run(f"SELECT to_jsonb(t) FROM {table} t LIMIT 1"))


def test_who_is_waited_for_is_said_while_it_lasts(postgres: Database) -> None:
    old_agents(postgres)
    options = ("--wait", "2.7", "--lock-timeout", "50", "--db-url", postgres.url)
    with (
        blocker(postgres) as connection,
        upgrading(*options) as text,
        upgrading("--log-format", "json", *options) as records,
    ):
        told, told_as_json = text.end(), records.end()
        pid = connection.info.backend_pid
    assert (told.code, told_as_json.code) == (5, 5)
    [line] = [line for line in told.err.splitlines() if line.startswith("Waiting: ")]
    for words in (
        "ai.sessions",
        f"pid {pid} (nightly report",
        "idle in transaction",
        "SELECT user_id FROM",
        "gives up",
    ):
        assert words in line
    waiting = [json.loads(line) for line in told_as_json.err.splitlines() if '"waiting"' in line]
    [record] = [record for record in waiting if record["event"] == "waiting"]
    assert (record["table"], record["level"]) == ("ai.sessions", "warning")
    assert record["waited"] >= 2
    assert record["left"] <= 1
    assert str(pid) in record["message"]
    for content in ("CANARY", "4711"):
        assert content not in told.err + told_as_json.err


def test_who_an_index_build_waits_for_is_said_while_it_lasts(postgres: Database) -> None:
    table = old_agents(postgres)
    postgres.run(
        f"INSERT INTO {table} (session_id, user_id) SELECT n, repeat('x', 1000) FROM generate_series(1, 9000) n; "
        f"ANALYZE {table}"
    )
    with psycopg.connect(postgres.dsn, application_name="old snapshot") as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT 'CANARY'")
        with upgrading("--wait", "4", "--db-url", postgres.url) as upgrader:
            ended = upgrader.end()
        pid = connection.info.backend_pid
    assert ended.code == 5, ended
    [line] = [line for line in ended.err.splitlines() if line.startswith("Waiting: ")]
    assert "ai.sessions: the index build waits for " in line
    assert f"pid {pid} (old snapshot" in line
    assert "CANARY" not in line


def test_our_own_session_in_the_way_is_named_too(postgres: Database) -> None:
    """A storage whose application has left a transaction open on the very table."""
    from sqlalchemy import text

    from storage_admin.errors import LockNotObtained
    from storage_admin.locking import Patience

    old_agents(postgres)
    engine = postgres.engine()
    with engine.connect() as connection:
        connection.execute(text("SELECT * FROM ai.sessions"))
        pid = connection.connection.dbapi_connection.info.backend_pid  # type: ignore[union-attr] # of psycopg
        with pytest.raises(LockNotObtained, match=f"pid {pid}"):
            postgres.storage(
                db_url=None, db_engine=engine, mode="agent", auto_upgrade_schema=True, patience=Patience(50, 0.3)
            )
    assert postgres.admin().check().status is Status.OUTDATED
