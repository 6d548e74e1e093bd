"""What happens before the first statement: one look at the table, an upgrade if the flag allows it, else an error."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import Any

import pytest
import sqlalchemy as sa

from storage_admin import PostgresStorage, SchemaOutdated, Status
from storage_admin.errors import CannotConnect, LockNotObtained, NotASessionTable, SchemaDrifted
from storage_admin.locking import Patience
from storage_admin.storage import gate
from tests.conftest import Database
from tests.integration.tables import definition, logged_statements, old_agents
from tests.storage.sessions import KINDS, session

RACERS = 16


@pytest.fixture(params=["postgres", "sqlite", "mariadb"])
def database(request: pytest.FixtureRequest) -> Database:
    """A database whose tables are upgraded: not that of SingleStoreStorage, which only looks at them."""
    fixture: Database = request.getfixturevalue(request.param)
    if fixture.dialect.has_schemas:
        fixture.run("CREATE SCHEMA IF NOT EXISTS ai")
    return fixture


@contextmanager
def statements(engine: sa.Engine) -> Iterator[list[str]]:
    """What is sent through an engine meanwhile."""
    sent: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        sent.append(" ".join(statement.split()))

    sa.event.listen(engine, "before_cursor_execute", note)
    yield sent
    sa.event.remove(engine, "before_cursor_execute", note)


def columns(database: Database, name: str = "sessions") -> set[str]:
    with database.engine().connect() as connection:
        schema = "ai" if database.dialect.has_schemas else None
        return {column["name"] for column in sa.inspect(connection).get_columns(name, schema)}


def revisions(database: Database) -> int:
    [(count,)] = database.run(f"SELECT count(*) FROM {database.table('storage_admin_revisions')}")
    return int(count)


def test_with_the_flag_and_a_mode_the_table_is_upgraded_by_the_constructor(database: Database) -> None:
    old_agents(database)
    database.storage(mode="agent", auto_upgrade_schema=True)
    assert database.admin().check(["sessions"]).status is Status.CURRENT


def test_the_log_says_what_was_done_and_not_how(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    old_agents(database)
    caplog.clear()
    database.storage(mode="agent", auto_upgrade_schema=True)
    [record] = caplog.records
    assert record.name == "storage_admin.storage"
    assert "add column team_session_id" in record.getMessage()


def test_with_the_flag_alone_it_is_upgraded_before_the_first_statement_of_a_kind(database: Database) -> None:
    old_agents(database)
    before = definition(database)
    storage = database.storage(auto_upgrade_schema=True)
    assert definition(database) == before
    storage.read("s1")
    assert database.admin().check(["sessions=agent"]).status is Status.CURRENT
    assert "team_id" not in columns(database)
    storage.mode = "team"
    assert "team_id" not in columns(database)
    storage.get_all_session_ids()
    assert "team_id" in columns(database)
    assert "workflow_id" not in columns(database)
    storage.upsert(session("workflow_v2"))
    assert "workflow_name" in columns(database)


def test_a_current_table_costs_one_statement_at_the_start_and_one_for_each_call(database: Database) -> None:
    database.storage(mode="agent", auto_upgrade_schema=True).upsert(session())
    engine = database.engine()
    with engine.connect():
        pass  # what SQLAlchemy asks on its first connection is not ours
    with statements(engine) as sent:
        storage = database.storage(db_url=None, db_engine=engine, mode="agent", auto_upgrade_schema=True)
        assert len(sent) == 1
        for call in (lambda: storage.read("s1"), lambda: storage.upsert(session()), storage.get_all_sessions):
            sent.clear()
            call()
            upserted = any("INSERT" in statement for statement in sent)
            assert len(sent) == (2 if upserted and database.dialect.name == "mysql" else 1)  # it has no RETURNING
        sent.clear()
        database.storage(db_url=None, db_engine=engine, mode="agent", auto_upgrade_schema=True).read("s1")
        assert len(sent) == 1  # the process knows the table already


def test_on_the_wire_there_is_nothing_else(postgres: Database, postgresql_proc: Any) -> None:
    postgres.storage(mode="agent", auto_upgrade_schema=True).upsert(session())
    name = postgres.dsn.rpartition("dbname=")[2]
    postgres.run(f"ALTER DATABASE {name} SET log_statement = 'all'")
    engine = postgres.engine()
    storage = postgres.storage(db_url=None, db_engine=engine, mode="agent", auto_upgrade_schema=True)
    storage.read("s1")
    storage.upsert(session())
    sent = [line for line in logged_statements(postgresql_proc, name) if "pg_catalog.version" not in line]
    own = [line for line in sent if "nspname" in line or "ai.sessions" in line]
    assert [line.split()[0] for line in own] == ["SELECT", "SELECT", "INSERT"]
    assert sent[-2:] == own[-2:]  # no BEGIN, no COMMIT, no ROLLBACK


def test_storages_of_one_url_look_once_and_another_table_is_looked_at(database: Database) -> None:
    first = database.storage(mode="agent")
    first.upsert(session())
    other = database.storage(mode="agent")
    with statements(other.db_engine) as sent:
        other.read("s1")
        assert len(sent) == 1
    with pytest.raises(SchemaOutdated):
        database.storage(mode="team").read("s1")


def test_without_the_flag_nothing_is_read_or_written_and_the_error_says_what_to_do(database: Database) -> None:
    table = old_agents(database)
    database.run(f"INSERT INTO {table} (session_id, memory) VALUES ('s1', '{{}}')")
    before = definition(database)
    storage = database.storage(mode="agent")
    calls: list[Callable[[], Any]] = [
        lambda: storage.read("s1"),
        lambda: storage.upsert(session()),
        storage.get_all_session_ids,
        storage.get_all_sessions,
        storage.get_recent_sessions,
    ]
    for call in calls:
        with pytest.raises(SchemaOutdated) as refused:
            call()
        told = str(refused.value)
        assert f"{table} is outdated for agent sessions, and nothing was read or written" in told
        assert "add column team_session_id" in told
        assert "auto_upgrade_schema=True" in told
        assert f"storage.upgrade_schema(), or run: storage-admin upgrade {table}=agent --db-url " in told
        assert "***" not in told
    assert definition(database) == before
    assert storage.upgrade_schema().changed
    assert storage.read("s1").session_id == "s1"  # the same object, without a new start


def test_a_command_that_a_password_would_be_missing_in_leaves_the_url_to_the_environment(postgres: Database) -> None:
    table = old_agents(postgres)
    storage = PostgresStorage("sessions", db_url=postgres.url.replace("postgres@", "postgres:secret@"))
    with pytest.raises(SchemaOutdated) as refused:
        storage.read("s1")
    storage.db_engine.dispose()
    said = f"or, with the URL in STORAGE_ADMIN_DB_URL, run: storage-admin upgrade {table}=agent"
    assert str(refused.value).endswith(said)


def test_the_manual_upgrade_always_upgrades_and_returns_what_it_did(database: Database) -> None:
    old_agents(database)
    storage = database.storage()
    outcome = storage.upgrade_schema()
    assert outcome.plan.kinds == ("agent",)
    assert any("team_session_id" in statement for statement in outcome.statements)
    again = storage.upgrade_schema()
    assert (again.changed, again.statements) == (False, ())
    assert str(again) == f"{database.table('sessions')} (agent): nothing to do"
    assert "add column team_session_id; create index" in str(outcome)
    assert database.storage("fresh", mode="team").upgrade_schema().plan.kinds == ("team",)
    assert database.storage("default").upgrade_schema().plan.kinds == ("agent",)


def test_a_storage_that_was_given_no_mode_goes_by_what_the_table_holds(database: Database) -> None:
    database.storage(mode="team").upsert(session("team"))
    before = definition(database)
    storage = database.storage(auto_upgrade_schema=True)
    assert storage.read("s1").team_id == "team-1"  # as Team.load_session() does before it sets a mode
    storage.upgrade_schema()
    storage.delete_session("s1")
    assert definition(database) == before


def test_a_missing_table_is_created_for_the_kind_that_is_used(database: Database) -> None:
    for kind in KINDS:
        storage = database.storage(kind)
        storage.mode = kind
        assert storage.read("s1") is None
        assert database.admin().check([f"{database.table(kind)}={kind}"]).status is Status.CURRENT


def test_an_index_on_a_large_table_is_left_for_later_with_one_line_that_names_the_command(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(gate, "INDEX_LIMIT", 2)
    table = old_agents(database)
    for number in range(3):
        database.run(f"INSERT INTO {table} (session_id) VALUES ('s{number}')")
    storage = database.storage(mode="agent", auto_upgrade_schema=True)
    storage.upsert(session())
    assert "team_session_id" in columns(database)
    [line] = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "create index" in line
    assert line.endswith(f"run: storage-admin upgrade {table}")
    assert {str(change)[:12] for change in database.admin().plan().plans[0].changes} == {"create index"}
    assert database.admin().history()[-1].to_version < database.admin().catalog.head
    caplog.clear()
    database.storage(db_url=None, db_engine=database.engine(), mode="agent").upsert(session())  # nor is it an error
    assert len(caplog.records) == 1
    assert storage.upgrade_schema().changed
    assert database.admin().check().status is Status.CURRENT


def test_on_a_small_table_the_index_is_built_at_the_start(database: Database) -> None:
    table = old_agents(database)
    database.run(f"INSERT INTO {table} (session_id) VALUES ('s0')")
    database.storage(mode="agent", auto_upgrade_schema=True)
    assert database.admin().check().status is Status.CURRENT


def test_a_table_that_is_no_session_table_is_left_alone(database: Database) -> None:
    database.run(f"CREATE TABLE {database.table('sessions')} (session_id varchar(99) PRIMARY KEY, basket text)")
    before = definition(database)
    with pytest.raises(NotASessionTable):
        database.storage(mode="agent", auto_upgrade_schema=True)
    with pytest.raises(NotASessionTable):
        database.storage(auto_upgrade_schema=True).upsert(session())
    assert definition(database) == before


def test_a_drift_is_told_and_stops_only_what_it_makes_impossible(
    postgres: Database, caplog: pytest.LogCaptureFixture
) -> None:
    postgres.storage(mode="agent").create()
    postgres.run("ALTER TABLE ai.sessions ALTER COLUMN memory TYPE json; DROP INDEX ai.ix_ai_sessions_user_id")
    storage = postgres.storage(mode="agent")
    assert storage.upsert(session()).memory == session().memory
    assert "column memory is JSON, expected JSONB" in caplog.text
    postgres.run("ALTER TABLE ai.sessions DROP COLUMN team_session_id")
    with pytest.raises(SchemaDrifted):
        postgres.storage(db_url=None, db_engine=postgres.engine(), mode="agent", auto_upgrade_schema=True)


def test_a_table_that_was_dropped_or_replaced_meanwhile_is_looked_at_again(database: Database) -> None:
    storage = database.storage(mode="agent", auto_upgrade_schema=True)
    storage.upsert(session())
    storage.drop()
    database.run(f"DROP TABLE {database.table('storage_admin_revisions')}")
    assert storage.read("s1") is None
    database.run(f"DROP TABLE {database.table('sessions')}")
    assert storage.upsert(session()).session_id == "s1"
    database.run(f"DROP TABLE {database.table('sessions')}; DROP TABLE {database.table('storage_admin_revisions')}")
    old_agents(database)
    assert storage.upsert(session()).team_session_id == "t0"
    database.run(f"DROP TABLE {database.table('sessions')}; DROP TABLE {database.table('storage_admin_revisions')}")
    old_agents(database)
    with pytest.raises(SchemaOutdated):
        database.storage(mode="agent").upsert(session())


def test_threads_of_one_process_wait_for_one_upgrade(database: Database) -> None:
    old_agents(database)
    storage = database.storage(auto_upgrade_schema=True)
    together = Barrier(8)

    def work(number: int) -> Any:
        together.wait()
        return storage.upsert(session(session_id=f"s{number}"))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))
    assert revisions(database) == 1


RACER = """
import json, sys
from storage_admin import MySQLStorage, PostgresStorage, SqliteStorage
from storage_admin.storage.sessions import session_class
name, url, number = json.loads(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
storage = {"postgresql": PostgresStorage, "sqlite": SqliteStorage, "mysql": MySQLStorage}[name](
    "sessions", db_url=url, mode="agent", auto_upgrade_schema=True)
storage.upsert(session_class("agent")(session_id=f"s{number}", user_id="ada", memory={"runs": [number]}))
assert storage.read(f"s{number}").memory == {"runs": [number]}
"""


@pytest.mark.parametrize("start", ["an outdated table", "no table"])
def test_sixteen_processes_start_at_once_and_one_upgrade_is_recorded(database: Database, start: str) -> None:
    if start == "an outdated table":
        old_agents(database)
    elif database.dialect.has_schemas:
        database.run("DROP SCHEMA ai")
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, json.dumps([database.dialect.name, database.url, number])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(RACERS)
    ]
    for racer in racers:
        assert racer.stdout is not None
        racer.stdout.readline()
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    complaints = [racer.communicate()[1] for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * RACERS, complaints
    assert database.run(f"SELECT count(*) FROM {database.table('sessions')}") == [(RACERS,)]
    assert revisions(database) == 1


def test_a_table_that_is_in_use_is_waited_for_as_long_as_was_asked(postgres: Database) -> None:
    postgres.run("CREATE SCHEMA ai")
    old_agents(postgres)
    with postgres.engine().connect() as other:
        other.execute(sa.text("LOCK TABLE ai.sessions IN ACCESS SHARE MODE"))
        with pytest.raises(LockNotObtained):
            postgres.storage(mode="agent", auto_upgrade_schema=True, patience=Patience(50, 0.1))
    postgres.storage(mode="agent", auto_upgrade_schema=True)


def test_a_server_that_is_not_there_is_an_error_and_not_an_empty_answer() -> None:
    storage = PostgresStorage("sessions", db_url="postgresql://ada:sesame@127.0.0.1:1/none")
    for call in (lambda: storage.read("s1"), lambda: storage.upsert(session()), storage.table_exists):
        with pytest.raises(CannotConnect) as refused:
            call()
        assert "sesame" not in str(refused.value)


def test_an_upgrade_at_start_up_says_nothing_of_alembic_in_the_log_of_an_application(sqlite: Database) -> None:
    old_agents(sqlite)
    program = """
import logging, sys
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(name)s %(message)s")
from storage_admin import SqliteStorage
SqliteStorage("sessions", db_url=sys.argv[1], mode="agent", auto_upgrade_schema=True).get_all_session_ids()
logging.getLogger("alembic.runtime.plugins").info("still heard: %s", "alembic" in sys.modules)
"""
    command = [sys.executable, "-c", program, sqlite.url]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.splitlines()
    assert [line for line in said if line.startswith("alembic")] == ["alembic.runtime.plugins still heard: True"]
    assert said[0].startswith("storage_admin.storage sessions (agent): ")
