"""What only MySQL and MariaDB do: texts that compare as equal and are not, texts that are cut, deadlocks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from storage_admin import MySQLStorage, SessionOwnedByAnother
from storage_admin.errors import NotStorable, SessionIdTaken
from tests.conftest import Database
from tests.mariadb import MariaServer
from tests.storage.sessions import session


@pytest.fixture
def maria(mariadb: Database) -> Database:
    mariadb.run("CREATE DATABASE ai CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci")
    return mariadb


@pytest.mark.parametrize("other", ["S1", "s1 ", "ś1"])
def test_an_id_that_the_database_takes_for_anothers_is_refused_and_finds_nothing(maria: Database, other: str) -> None:
    storage = maria.storage()
    storage.upsert(session())
    with pytest.raises(SessionIdTaken, match="is the same text as that of another session"):
        storage.upsert(session(session_id=other, memory={"runs": []}))
    assert storage.read(other) is None
    storage.delete_session(other)
    assert storage.read("s1").memory == session().memory


def test_with_a_binary_collation_they_are_two_sessions(maria: Database) -> None:
    storage = maria.storage()
    storage.create()
    maria.run("ALTER TABLE ai.sessions MODIFY session_id VARCHAR(255) COLLATE utf8mb4_bin NOT NULL")
    for name in ("s1", "S1"):
        storage.upsert(session(session_id=name))
        assert storage.read(name).session_id == name
    assert len(storage.get_all_session_ids()) == 2


def test_a_user_whose_id_differs_in_case_is_another_one(maria: Database) -> None:
    storage = maria.storage()
    storage.upsert(session(user_id="ada"))
    with pytest.raises(SessionOwnedByAnother):
        storage.upsert(session(user_id="Ada"))
    assert storage.read("s1", "Ada") is None
    assert storage.get_all_session_ids(user_id="ADA") == storage.get_all_session_ids(entity_id="AGENT-1") == []
    taking = maria.storage(allow_owner_change=True)
    assert taking.upsert(session(user_id="Ada")).user_id == "Ada"
    assert storage.get_all_session_ids(user_id="Ada") == ["s1"]


@pytest.mark.parametrize("mode", ["STRICT_ALL_TABLES", ""])
@pytest.mark.parametrize("column", ["session_id", "user_id", "agent_id", "team_session_id"])
def test_a_text_that_is_longer_than_its_column_is_refused_whole(maria: Database, mode: str, column: str) -> None:
    engine = told(maria, f"SET SESSION sql_mode = '{mode}'")
    storage = MySQLStorage("sessions", db_engine=engine)
    facts: dict[str, Any] = {column: "ü" * 256}
    with pytest.raises(NotStorable, match=f"{column} cannot be stored: it is longer than the column, which holds 255"):
        storage.upsert(session(**facts))
    assert maria.run("SELECT count(*) FROM ai.sessions") == [(0,)]
    stored = storage.upsert(session(**(facts | {column: "ü" * 255})))
    assert getattr(stored, column) == "ü" * 255


@pytest.mark.parametrize("mode", ["STRICT_ALL_TABLES", ""])
def test_a_text_that_the_character_set_of_its_column_lacks_is_refused(maria: Database, mode: str) -> None:
    maria.storage().create()
    for column in ("user_id", "agent_id"):
        maria.run(f"ALTER TABLE ai.sessions MODIFY {column} VARCHAR(255) CHARACTER SET latin1")
    storage = MySQLStorage("sessions", db_engine=told(maria, f"SET SESSION sql_mode = '{mode}'"))
    with pytest.raises(NotStorable, match="agent_id cannot be stored: .* character set"):
        storage.upsert(session(agent_id="☃"))
    assert storage.upsert(session(user_id="Zoë")).user_id == "Zoë"
    assert storage.read("s1", "Zoë").memory == session().memory
    assert storage.read("s1", "Zoe") is None


def told(database: Database, statement: str) -> sa.Engine:
    """An engine that says something to each of its connections."""
    engine = database.engine()

    @sa.event.listens_for(engine, "connect")
    def speak(connection: Any, _: object) -> None:
        connection.cursor().execute(statement)

    return engine


def test_a_read_finds_its_row_by_the_key(maria: Database) -> None:
    storage = maria.storage(mode="agent")
    storage.upsert(session())
    sent: list[tuple[str, Any]] = []
    sa.event.listen(storage.db_engine, "before_cursor_execute", lambda *facts: sent.append(facts[2:4]))
    for call, key in ((lambda: storage.read("s1"), "PRIMARY"), (lambda: storage.get_all_session_ids("ada"), "user_id")):
        sent.clear()
        call()
        [(statement, parameters)] = sent
        [row] = maria.run(f"EXPLAIN FORMAT=TRADITIONAL {statement}", parameters)
        assert key in str(row[:7]), row


def test_writers_that_get_in_each_others_way_all_write(maria: Database) -> None:
    storage = maria.storage(auto_upgrade_schema=True)
    storage.create()

    def work(number: int) -> Any:
        # Owners and entities of one order, ids of another: the indexes are locked crosswise.
        name, entity = f"s{number % 7}", f"a{number % 5}"
        return storage.upsert(
            session(session_id=name, user_id=None, agent_id=entity, team_session_id=f"t{-number % 3}")
        )

    with ThreadPoolExecutor(10) as pool:
        assert all(pool.map(work, range(300)))
    assert len(storage.get_all_session_ids()) == 7


def test_an_upsert_sees_the_owner_of_now_in_a_transaction_that_began_before(maria: Database) -> None:
    maria.storage().upsert(session(user_id=None))
    engine = maria.engine()

    @sa.event.listens_for(engine, "begin")
    def look(connection: sa.Connection) -> None:
        connection.exec_driver_sql("SELECT count(*) FROM ai.sessions")  # from here on it sees the table as it was
        maria.run("UPDATE ai.sessions SET user_id = 'ada'")

    storage = MySQLStorage("sessions", db_engine=engine, mode="agent")
    with pytest.raises(SessionOwnedByAnother):
        storage.upsert(session(user_id="mallory"))
    assert storage.upsert(session(user_id="ada")).user_id == "ada"


def test_a_connection_that_the_server_ended_is_replaced_without_a_word(
    maria: Database, mariadb_proc: MariaServer
) -> None:
    storage = maria.storage(mode="agent")
    storage.upsert(session())
    for call in (lambda: storage.read("s1"), lambda: storage.upsert(session()), storage.upgrade_schema):
        for (number,) in maria.run(
            "SELECT id FROM information_schema.processlist WHERE command = 'Sleep' AND id <> connection_id()"
        ):
            mariadb_proc.run(f"KILL {number}")
        assert call() is not None


def test_an_integer_of_more_than_64_bits_is_kept_by_mariadb_and_becomes_text_for_mysql(
    maria: Database, caplog: pytest.LogCaptureFixture
) -> None:
    numbers = {"numbers": [2**64, -(2**63) - 1, 2**64 - 1, -(2**63)]}
    storage = maria.storage()
    [(version,)] = maria.run("SELECT version()")
    if "MariaDB" in version:
        storage.upsert(session(memory=numbers))
        assert storage.read("s1").memory == numbers
        assert "another form" not in caplog.text
    storage.db_engine.dialect.is_mariadb = False  # type: ignore[attr-defined]  # as if MySQL had answered
    stored = storage.upsert(session(memory=numbers))
    assert storage.read("s1") == stored
    assert stored.memory == {"numbers": [str(2**64), str(-(2**63) - 1), 2**64 - 1, -(2**63)]}
    assert "memory.numbers[0]: an integer of more than 64 bits, as text" in caplog.text
