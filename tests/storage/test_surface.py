"""What Agno calls on a storage: every method, on every kind, on every database."""

from __future__ import annotations

import copy
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import pytest
import sqlalchemy as sa
from agno.storage.base import Storage

from storage_admin import PostgresStorage, SqliteStorage, StorageAdminError
from storage_admin.errors import (
    BadDatabaseURL,
    BadTableName,
    DriverMissing,
    NoDatabase,
    NotASession,
    UnknownKind,
    UnsupportedSchemaVersion,
    WrongDatabase,
)
from storage_admin.storage.sessions import ENTITY
from tests.conftest import Database
from tests.storage.sessions import CLASSES, KINDS, content, session

every_kind = pytest.mark.parametrize("kind", KINDS)


@every_kind
def test_a_session_comes_back_as_it_was_stored_in_agnos_own_class(database: Database, kind: str) -> None:
    storage = database.storage(mode=kind)
    written = session(kind)
    stored = storage.upsert(session=written)
    read = storage.read(session_id="s1")
    assert type(stored) is type(read) is CLASSES[kind]
    expected = CLASSES[kind].from_dict(written.to_dict())  # some of Agno's runs change on this way
    assert content(stored) == content(read) == content(expected)
    assert (stored.created_at, stored.updated_at) == (read.created_at, read.updated_at)
    assert abs(stored.created_at - time.time()) < 60
    assert stored.updated_at is None
    assert storage.read("nobody") is None
    assert storage.read(None) is None
    for listed in (storage.get_all_sessions(), storage.get_recent_sessions(entity_id=written.to_dict()[ENTITY[kind]])):
        assert listed == [read]


@every_kind
def test_a_second_upsert_keeps_the_time_of_creation_and_sets_that_of_the_update(database: Database, kind: str) -> None:
    storage = database.storage(mode=kind)
    storage.upsert(session(kind, created_at=1600000000))
    again = storage.upsert(session(kind, created_at=1700000000, session_data={"session_name": "new"}))
    assert again.created_at == 1600000000
    assert abs(again.updated_at - time.time()) < 60
    assert storage.read("s1") == again
    assert again.session_data == {"session_name": "new"}


def test_what_comes_back_is_a_fresh_object(database: Database) -> None:
    storage = database.storage()
    written = session()
    stored = storage.upsert(written)
    stored.session_data["session_state"]["n"] = 0
    stored.memory["runs"].clear()
    assert content(storage.read("s1")) == content(written) == content(session())


def test_sessions_are_listed_newest_first_by_user_and_entity(database: Database) -> None:
    storage = database.storage(mode="team")
    for number in range(5):
        owner = "ada" if number % 2 else "bob"
        one = session("team", f"s{number}", owner, team_id=f"t{number // 2}", created_at=1600000000 + number)
        storage.upsert(one)
    assert storage.get_all_session_ids() == ["s4", "s3", "s2", "s1", "s0"]
    assert storage.get_all_session_ids(user_id="ada") == ["s3", "s1"]
    assert storage.get_all_session_ids("bob", "t1") == ["s2"]
    assert [found.session_id for found in storage.get_all_sessions(user_id="bob", entity_id="t0")] == ["s0"]
    assert [found.session_id for found in storage.get_recent_sessions()] == ["s4", "s3"]
    assert [found.session_id for found in storage.get_recent_sessions(limit=1, user_id="ada")] == ["s3"]
    assert len(storage.get_recent_sessions(limit=None)) == 5
    assert storage.get_recent_sessions(user_id="nobody") == []


def test_a_read_for_a_user_finds_only_what_is_hers(database: Database) -> None:
    storage = database.storage()
    storage.upsert(session())
    assert storage.read("s1", "ada") == storage.read("s1", user_id=None) == storage.read("s1", "")
    assert storage.read("s1", "bob") is None


def test_a_deleted_session_is_gone_and_a_missing_one_is_no_error(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    storage = database.storage()
    storage.delete_session("before there is a table")
    assert not storage.table_exists()
    storage.upsert(session())
    storage.upsert(session(session_id="s2"))
    storage.delete_session(session_id="s1")
    storage.delete_session(session_id="s1")
    assert storage.get_all_session_ids() == ["s2"]
    storage.delete_session()
    assert "deletes nothing" in caplog.text
    assert storage.get_all_session_ids() == ["s2"]


def test_a_table_is_created_once_and_dropped_when_asked(database: Database) -> None:
    storage = database.storage(mode="workflow")
    assert not storage.table_exists()
    storage.create()
    assert storage.table_exists()
    storage.upsert(session("workflow"))
    storage.create()
    assert storage.get_all_session_ids() == ["s1"]
    storage.drop()
    storage.drop()
    assert not storage.table_exists()
    assert storage.read("s1") is None  # and creates it anew, as Agno's does
    assert storage.table_exists()


def test_a_user_id_may_be_a_number_or_a_uuid_as_it_may_be_in_python(database: Database) -> None:
    storage = database.storage()
    assert storage.upsert(session(user_id=7)).user_id == "7"  # type: ignore[arg-type]  # what users do
    assert storage.get_all_session_ids(user_id=7) == ["s1"]  # type: ignore[arg-type]  # what users do


def test_the_workflow_session_that_a_session_belongs_to_is_stored(database: Database) -> None:
    storage = database.storage(mode="agent")
    for data in (None, {"name": "x"}):
        stored = storage.upsert(session(workflow_session_id="w9", agent_data=data))
        assert (stored.workflow_session_id, stored.agent_data) == ("w9", data)
        assert storage.read("s1") == stored
    assert storage.upsert(session(workflow_session_id=None)).workflow_session_id is None


def test_a_second_generation_workflow_does_not_wipe_what_it_never_loads(database: Database) -> None:
    storage = database.storage(mode="workflow_v2")
    kept = storage.upsert(session("workflow_v2"))
    again = storage.upsert(session("workflow_v2", session_data={}, extra_data=None, runs=[]))
    assert (again.session_data, again.extra_data) == (kept.session_data, kept.extra_data)
    assert again.runs == []
    assert storage.read("s1") == again


def test_the_mode_can_be_set_and_what_it_says_is_read(database: Database) -> None:
    storage = database.storage(auto_upgrade_schema=True)
    assert storage.mode == "agent"
    for kind in KINDS:
        storage.mode = kind
        assert storage.mode == kind
        storage.upsert(session(kind, f"of-{kind}"))
        assert type(storage.read(f"of-{kind}")) is CLASSES[kind]
    storage.mode = None
    assert storage.mode == "agent"
    with pytest.raises(UnknownKind, match="'workflow-v2' is no kind of session"):
        storage.mode = "workflow-v2"  # type: ignore[assignment]  # the mistake that is tested


def test_an_upsert_goes_by_the_session_and_not_by_the_mode(database: Database) -> None:
    storage = database.storage(mode="agent", auto_upgrade_schema=True)
    stored = storage.upsert(session("team"))
    assert stored.team_id == "team-1"
    with pytest.raises(NotASession, match="a dict is no session"):
        storage.upsert({"session_id": "s1"})
    with pytest.raises(NotASession, match="without a session_id"):
        storage.upsert(session(session_id=None))  # type: ignore[arg-type]  # the mistake that is tested


def test_an_agent_and_a_team_may_share_a_storage_across_threads_and_tasks(database: Database) -> None:
    storage = database.storage(auto_upgrade_schema=True)
    for kind in ("agent", "team"):
        for number in range(4):
            storage.upsert(session(kind, f"{kind}{number}"))
    storage.mode = "agent"

    def work(number: int) -> None:
        kind = KINDS[number % 2]  # an agent or a team
        storage.mode = kind
        for turn in range(10):
            name = f"{kind}{(number + turn) % 4}"
            found = storage.read(name)
            assert type(found) is CLASSES[kind]
            found.session_data = {"turn": turn}
            assert storage.upsert(found).session_data == {"turn": turn}

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: copy_context().run(work, number), range(8)))
    assert len(storage.get_all_session_ids()) == 8


def test_many_threads_may_write_and_read_at_once(database: Database) -> None:
    storage = database.storage(auto_upgrade_schema=True)

    def work(number: int) -> Any:
        storage.upsert(session(session_id=f"s{number % 20}"))
        return storage.read(f"s{number % 20}")

    with ThreadPoolExecutor(12) as pool:
        assert all(pool.map(work, range(200)))
    assert sorted(storage.get_all_session_ids()) == sorted(f"s{n}" for n in range(20))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_shares_the_engine_and_has_a_mode_of_its_own(database: Database, copied: Any) -> None:
    storage = database.storage(mode="team")
    storage.upsert(session("team"))
    other = copied(storage)
    assert other is not storage
    assert other.db_engine is storage.db_engine
    assert (other.mode, other.table_name) == ("team", "sessions")
    other.mode = "workflow"
    assert (storage.mode, other.mode) == ("team", "workflow")
    assert type(copied(other).read) is not None
    assert storage.read("s1") is not None


def test_a_storage_is_true_and_tells_what_it_is_without_a_password(postgres: Database) -> None:
    url = postgres.url.replace("postgres@", "postgres:sesame@")
    storage = PostgresStorage("sessions", db_url=url)
    assert storage
    assert repr(storage) == "PostgresStorage(table_name='sessions', schema='ai', mode='agent')"
    assert "sesame" not in repr(storage) + repr(storage.db_engine)


def test_it_counts_as_one_of_agnos_storages(sqlite: Database) -> None:
    assert isinstance(sqlite.storage(), Storage)


def test_it_takes_agnos_arguments_in_agnos_order(postgres: Database, sqlite: Database) -> None:
    engine = postgres.engine()
    storage = PostgresStorage("t", "other", None, engine, 1, True, "team")
    assert (storage.table_name, storage.schema, storage.db_engine) == ("t", "other", engine)
    assert (storage.schema_version, storage.auto_upgrade_schema, storage.mode) == (1, True, "team")
    lite = SqliteStorage("t", None, sqlite.dsn, None, 1, False, "workflow")
    assert (lite.db_engine.url.database, lite.mode) == (sqlite.dsn, "workflow")


def test_an_engine_that_is_given_is_the_one_that_is_used(database: Database) -> None:
    engine = database.engine()
    seen: list[str] = []
    sa.event.listen(engine, "before_cursor_execute", lambda *facts: seen.append(facts[2]))
    storage = database.storage(db_url=None, db_engine=engine)
    storage.upsert(session())
    storage.upgrade_schema()
    assert storage.db_engine is engine
    assert any("INSERT INTO" in statement for statement in seen)
    assert any("CREATE TABLE" in statement for statement in seen)
    [count] = database.run(f"SELECT count(*) FROM {database.table('sessions')}")
    assert count == (1,)


def test_a_database_in_memory_is_one_for_all_threads() -> None:
    storage = SqliteStorage("sessions")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: storage.upsert(session(session_id=f"s{n}")), range(40)))
    assert len(storage.get_all_session_ids()) == 40
    other = SqliteStorage("sessions")
    assert other.get_all_session_ids() == []
    for each in (storage, other):
        each.db_engine.dispose()


def test_a_file_of_an_odd_name_in_a_new_folder_is_made(tmp_path: Any) -> None:
    path = tmp_path / "new" / "sess ions?#%41.db"
    storage = SqliteStorage("sessions", db_file=str(path))
    storage.upsert(session())
    storage.db_engine.dispose()
    assert path.is_file()


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: PostgresStorage("t"), NoDatabase, "PostgresStorage needs db_url or db_engine"),
        (lambda: PostgresStorage("t", db_url="sqlite:///x.db"), WrongDatabase, "PostgreSQL, and this is sqlite"),
        (lambda: SqliteStorage("t", db_url="postgresql://h/d"), WrongDatabase, "SQLite, and this is postgresql"),
        (lambda: SqliteStorage(""), BadTableName, "it is empty"),
        (lambda: SqliteStorage("t", db_file="sqlite:///x.db"), BadDatabaseURL, "which db_url takes"),
        (
            lambda: PostgresStorage("t", db_url="postgresql+pg8000://h/d"),
            DriverMissing,
            "is not installed. Install it (pip install pg8000), or write postgresql+psycopg://, whose",
        ),
        (
            lambda: PostgresStorage("t", db_url="postgresql+typo://h/d"),
            DriverMissing,
            "is not installed. Write postgresql+psycopg://, whose",
        ),
        (lambda: SqliteStorage("t", schema_version=2), UnsupportedSchemaVersion, "schema_version=2 does not exist"),
        (lambda: SqliteStorage("t", mode="agents"), UnknownKind, "Did you mean agent?"),  # type: ignore[arg-type]  # a mistake
    ],
)
def test_a_wrong_argument_is_refused_at_once_in_words(make: Any, error: type[StorageAdminError], words: str) -> None:
    with pytest.raises(error) as refused:
        make()
    assert words in str(refused.value)


@pytest.mark.parametrize("backend", ["postgres", "sqlite", "mariadb"])
def test_without_agno_the_sessions_are_ours_with_the_same_fields(backend: str, request: pytest.FixtureRequest) -> None:
    database: Database = request.getfixturevalue(backend)
    if database.dialect.has_schemas:
        database.run("CREATE SCHEMA IF NOT EXISTS ai")
    script = f"""
import sys
sys.modules["agno"] = None
from dataclasses import fields
from storage_admin.storage.sessions import OURS, session_class
from tests.conftest import Database, DIALECTS
database = Database(DIALECTS[{database.dialect.name!r}], {database.url!r}, {database.dsn!r})
for kind, cls in OURS.items():
    assert session_class(kind) is cls
    storage = database.storage(kind, mode=kind)
    facts = {{"session_id": "s1", "user_id": "ada", "session_data": {{"a": 1}}, "runs": [{{"run_id": 1}}]}}
    written = cls.from_dict(facts)
    stored = storage.upsert(written)
    assert type(stored) is cls and storage.read("s1") == stored == cls.from_dict(stored.to_dict()), stored
    assert stored.session_data == {{"a": 1}}
    print(kind, *sorted(field.name for field in fields(cls)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        kind, *names = line.split()
        assert names == sorted(CLASSES[kind].__dataclass_fields__)
