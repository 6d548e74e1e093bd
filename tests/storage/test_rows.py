"""Names, owners, odd values and failures: what is in the way of a session on its way into a row and back."""

from __future__ import annotations

import logging
import math
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from psycopg import sql

from storage_admin import PostgresStorage, SessionOwnedByAnother, StorageAdminError
from storage_admin.errors import NotStorable, NotWritten, QueryFailed, SessionUnreadable
from tests.conftest import Database
from tests.integration.tables import definition
from tests.shapes import ODD_NAMES
from tests.storage.sessions import session

NAMES = [*ODD_NAMES, "Agent-Sessions", "MySessions", "order", "n" * 63, "ai.sessions; DROP TABLE victim; --"]


# --- names -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_table_may_have_any_name(database: Database, name: str) -> None:
    database.run("CREATE TABLE victim (x int)")
    storage = database.storage(name, auto_upgrade_schema=True)
    storage.upsert(session())
    storage.mode = "team"
    storage.upsert(session("team", "s2"))
    assert sorted(storage.get_all_session_ids()) == ["s1", "s2"]
    assert storage.get_recent_sessions(user_id="ada", entity_id="team-1")[0].session_id == "s2"
    storage.delete_session("s1")
    assert storage.table_exists()
    with database.engine().connect() as connection:
        found = sa.inspect(connection).get_table_names("ai" if database.dialect.has_schemas else None)
    assert name in found
    storage.drop()
    assert not storage.table_exists()
    assert database.run("SELECT count(*) FROM victim") == [(0,)]


@pytest.mark.parametrize("schema", ["MyAI", "my-ai", 'a"i', "a.i", "ai; DROP TABLE victim; --", "100%"])
def test_a_schema_may_have_any_name(postgres: Database, schema: str) -> None:
    postgres.run("CREATE TABLE victim (x int)")
    storage = postgres.storage(schema=schema)
    storage.upsert(session())
    assert storage.read("s1").user_id == "ada"
    assert postgres.run("SELECT nspname FROM pg_namespace WHERE nspname = %s", (schema,)) == [(schema,)]
    assert postgres.run("SELECT count(*) FROM victim") == [(0,)]


def test_without_a_schema_the_search_path_decides(postgres: Database) -> None:
    postgres.run("CREATE SCHEMA tenant; CREATE SCHEMA other")
    postgres.storage(schema="other").upsert(session())

    def storage_in(path: str) -> Any:
        engine = postgres.engine()

        @sa.event.listens_for(engine, "connect")
        def set_path(connection: Any, _: object) -> None:
            connection.execute(sql.SQL("SET search_path = {}").format(sql.Identifier(path)))
            connection.commit()

        return postgres.storage(db_url=None, db_engine=engine, schema=None, auto_upgrade_schema=True)

    assert storage_in("other").read("s1").user_id == "ada"
    assert storage_in("tenant").read("s1") is None
    storage_in("tenant").upsert(session(user_id="bob"))
    assert postgres.run("SELECT user_id FROM tenant.sessions") == [("bob",)]
    assert postgres.run("SELECT user_id FROM other.sessions") == [("ada",)]
    storage_in("tenant").drop()
    assert postgres.run("SELECT user_id FROM other.sessions") == [("ada",)]


# --- owners ------------------------------------------------------------------------------------------------


def test_a_session_is_not_handed_from_one_user_to_another(database: Database) -> None:
    storage = database.storage()
    storage.upsert(session(user_id="ada"))
    with pytest.raises(SessionOwnedByAnother, match="'s1' belongs to another user than 'mallory'") as refused:
        storage.upsert(session(user_id="mallory", memory={"runs": []}))
    assert "ada" not in str(refused.value)
    assert storage.read("s1").user_id == "ada"
    assert storage.read("s1").memory == session().memory


def test_unless_the_constructor_allows_it(database: Database) -> None:
    storage = database.storage(allow_owner_change=True)
    storage.upsert(session(user_id="ada"))
    assert storage.upsert(session(user_id="bob")).user_id == "bob"
    assert storage.upsert(session(user_id=None)).user_id == "bob"


def test_a_session_of_nobody_may_be_taken_and_a_run_without_a_user_leaves_the_owner(database: Database) -> None:
    storage = database.storage()
    assert storage.upsert(session(user_id=None)).user_id is None
    assert storage.upsert(session(user_id="ada")).user_id == "ada"
    assert storage.upsert(session(user_id=None)).user_id == "ada"
    assert storage.read("s1").user_id == "ada"


# --- odd values --------------------------------------------------------------------------------------------


def test_what_the_database_cannot_hold_is_stored_in_another_form_and_the_path_is_logged(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    storage = database.storage()
    odd = {"runs": [{"content": "a\0b \ud800", "score": math.nan, "best": math.inf}]}
    stored = storage.upsert(session(memory=odd))
    read = storage.read("s1")
    [found] = stored.memory["runs"]
    if database.dialect.json_is_text:
        assert repr(read.memory) == repr(stored.memory) == repr(odd)
        assert "another form" not in caplog.text
    else:
        assert read == stored
        nul = "\0" if database.dialect.holds_nul else "\\u0000"
        assert found == {"content": f"a{nul}b \\ud800", "score": "NaN", "best": "Infinity"}
        refused = "\\ud800" if database.dialect.holds_nul else "\\u0000 and \\ud800"
        assert f"session 's1': stored in another form: memory.runs[0].content: {refused}" in caplog.text
        assert "memory.runs[0].score: NaN, as text" in caplog.text
        caplog.clear()
        storage.upsert(stored)
        assert caplog.text == ""


@pytest.mark.parametrize("name", ["a\0b", "half \ud800", "☃"])
def test_an_id_that_the_database_cannot_hold_finds_its_session_all_the_same(database: Database, name: str) -> None:
    storage = database.storage()
    storage.upsert(session(session_id=name, user_id=name))
    assert storage.read(name) is not None
    assert storage.read(name, name) is not None
    assert len(storage.get_all_session_ids(user_id=name)) == 1
    storage.delete_session(name)
    assert storage.read(name) is None


def test_a_value_without_a_json_form_is_refused_before_anything_is_written(database: Database) -> None:
    storage = database.storage()
    storage.upsert(session())
    with pytest.raises(NotStorable, match=r"session 's1': session_data.agent cannot be stored: a value of type object"):
        storage.upsert(session(session_data={"agent": object()}))
    assert storage.read("s1").session_data == session().session_data


@pytest.mark.parametrize("created_at", ["yesterday", 2**70, object()])
def test_a_time_that_is_none_is_refused_in_words(database: Database, created_at: Any) -> None:
    with pytest.raises(NotStorable, match="created_at cannot be stored: .* is no time in seconds"):
        database.storage().upsert(session(created_at=created_at))


def test_numbers_keep_their_value_to_the_last_digit(database: Database) -> None:
    numbers = [2**80, -(2**63), 1e-320, 1.7976931348623157e308, 0.1, 10**30]
    storage = database.storage()
    storage.upsert(session(memory={"numbers": numbers}))
    read = storage.read("s1").memory["numbers"]
    assert list(map(float, read)) == list(map(float, numbers))  # JSONB gives 1e308 back as an integer, as ever
    assert list(map(str, read[:2])) == list(map(str, numbers[:2]))  # on MySQL the first one has become a text


def test_a_large_session_is_stored_whole(database: Database) -> None:
    runs = [{"content": "word ☃ " * 2000, "number": number} for number in range(500)]
    storage = database.storage()
    storage.upsert(session(memory={"runs": runs}))
    assert storage.read("s1").memory == {"runs": runs}


# --- failures ----------------------------------------------------------------------------------------------


def test_a_failed_write_raises_and_shows_nothing_of_the_session(
    postgres: Database, caplog: pytest.LogCaptureFixture
) -> None:
    engine = postgres.engine()
    storage = PostgresStorage("sessions", db_engine=engine)
    storage.upsert(session())
    postgres.run("ALTER TABLE ai.sessions ADD CONSTRAINT short CHECK (length(memory::text) < 500)")
    caplog.set_level(logging.DEBUG)
    caplog.clear()
    content = session(memory={"secret": f"{'can'}ary " * 500})  # so that a traceback has the word from the data alone
    with pytest.raises(QueryFailed, match="^ai.sessions in postgresql.*violates check constraint") as failed:
        storage.upsert(content)
    shown = "".join(traceback.format_exception(failed.value))
    assert "canary" not in shown + caplog.text
    assert storage.read("s1").memory == session().memory


def test_a_failed_read_raises(postgres: Database) -> None:
    storage = postgres.storage()
    storage.upsert(session())
    postgres.run("CREATE ROLE weak LOGIN; GRANT USAGE ON SCHEMA ai TO weak")
    weak = PostgresStorage("sessions", db_url=postgres.url.replace("postgres@", "weak@"))
    calls: list[Callable[[], Any]] = [
        lambda: weak.read("s1"),
        lambda: weak.upsert(session()),
        partial(weak.get_all_session_ids),
        lambda: weak.delete_session("s1"),
    ]
    for call in calls:
        with pytest.raises(QueryFailed, match="permission denied for table sessions. Ask the owner for the right"):
            call()
    weak.db_engine.dispose()
    postgres.run("DROP OWNED BY weak; DROP ROLE weak")


def test_a_row_that_holds_no_json_is_named_and_left_alone(sqlite: Database) -> None:
    storage = sqlite.storage(mode="agent")
    storage.upsert(session())
    sqlite.run("UPDATE sessions SET memory = '{half'")
    with pytest.raises(SessionUnreadable, match="session 's1': memory does not hold what it should"):
        storage.read("s1")
    with pytest.raises(SessionUnreadable, match="session 's1'"):
        storage.get_all_sessions()
    assert sqlite.run("SELECT memory FROM sessions") == [("{half",)]


def test_a_row_that_holds_no_session_is_named(database: Database) -> None:
    storage = database.storage(mode="workflow_v2")
    storage.upsert(session("workflow_v2"))
    database.run(f"UPDATE {database.table('sessions')} SET runs = '[5]'")
    calls: list[Callable[[], Any]] = [lambda: storage.read("s1"), storage.get_all_sessions]
    for call in calls:
        with pytest.raises(SessionUnreadable, match="session 's1'"):
            call()


@pytest.mark.parametrize("backend", ["postgres", "sqlite"])  # no trigger of MySQL can do that
def test_a_write_that_a_trigger_swallows_is_not_taken_for_one(backend: str, request: pytest.FixtureRequest) -> None:
    database: Database = request.getfixturevalue(backend)
    storage = database.storage()
    storage.create()
    if database.dialect.has_schemas:
        database.run(
            "CREATE FUNCTION nothing() RETURNS trigger AS 'BEGIN RETURN NULL; END' LANGUAGE plpgsql;"
            "CREATE TRIGGER swallow BEFORE INSERT ON ai.sessions FOR EACH ROW EXECUTE FUNCTION nothing()"
        )
    else:
        database.run("CREATE TRIGGER swallow BEFORE INSERT ON sessions BEGIN SELECT RAISE(IGNORE); END;")
    with pytest.raises(NotWritten, match="wrote nothing"):
        storage.upsert(session())


def test_a_connection_that_died_in_the_pool_is_replaced_without_a_word(postgres: Database) -> None:
    storage = postgres.storage()
    storage.upsert(session())
    calls: list[Callable[[], Any]] = [lambda: storage.read("s1"), lambda: storage.upsert(session())]
    calls += [storage.upgrade_schema, storage.table_exists]
    for call in calls:
        postgres.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'storage-admin'")
        assert call() is not None


def test_a_read_only_file_is_an_error_that_says_so(sqlite: Database) -> None:
    sqlite.storage(mode="agent").upsert(session())
    engine = sa.create_engine(f"sqlite:///file:{sqlite.dsn}?mode=ro&uri=true")
    storage = sqlite.storage(db_url=None, db_engine=engine, mode="agent")
    assert storage.read("s1").user_id == "ada"
    with pytest.raises(StorageAdminError, match="readonly database. The file cannot be written"):
        storage.upsert(session())


def test_reading_and_writing_leaves_the_definition_alone(database: Database) -> None:
    storage = database.storage(mode="agent")
    storage.create()
    before = definition(database)
    for _ in range(3):
        storage.upsert(session())
        storage.read("s1")
        storage.get_all_sessions()
    assert definition(database) == before
