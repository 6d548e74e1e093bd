"""SingleStore: the statements that would be sent to it; and, on a MariaDB in its place, what they do."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from agno.storage.singlestore import SingleStoreStorage as AgnoStorage
from sqlalchemy.dialects import mysql

from storage_admin import SchemaOutdated, SessionOwnedByAnother, SingleStoreStorage, Status, upgrade_schema
from storage_admin.catalog import load_catalog
from storage_admin.compare import plan_new
from storage_admin.dialects import SINGLESTORE
from storage_admin.errors import (
    NotASessionTable,
    NotStorable,
    QueryFailed,
    SessionIdTaken,
    UnsupportedDatabase,
)
from storage_admin.render import render
from storage_admin.schema import TableName
from storage_admin.storage.sessions import Kind
from storage_admin.storage.singlestore_statements import SingleStoreStatements
from tests.conftest import Database
from tests.shapes import DATA
from tests.storage.sessions import KINDS, content, session

URL = "mysql+pymysql://admin:secret@host:3306/db"
SHAPES = [
    entry
    for entry in json.loads((DATA / "session-tables.json").read_text())
    if entry["backend"] == "singlestore" and entry["kind"] != "assistant"
]
# What MySQL and MariaDB take and SingleStore is not known to.
UNKNOWN = re.compile(r"FOR UPDATE|_LOCK\(|CHARACTER SET|JSON_\w+\(|GROUP_CONCAT|group_concat|ALGORITHM|AS new|/\*\+")


@pytest.fixture
def store(singlestore: Database) -> Database:
    singlestore.run("CREATE DATABASE ai CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci")
    return singlestore


def made(store: Database, shape: dict[str, Any]) -> str:
    """Make a table as a release made it; the name that it has."""
    store.run(shape["ddl"].replace("session_id TEXT", "session_id VARCHAR(255)"))
    name: str = shape["ddl"].split()[2].removeprefix("ai.")
    return name


# --- what would be sent ------------------------------------------------------------------------------------


def statements(kind: str) -> SingleStoreStatements:
    catalog = load_catalog()
    target = catalog.target_for((kind,), catalog.head, SINGLESTORE.name)
    return SingleStoreStatements(SINGLESTORE.name, target, kind, "ai", "sessions", keep_owner=True)


def compiled(statement: Any) -> str:
    dialect: Any = mysql.dialect()
    # As what it says of itself in some drivers would have it.
    dialect.server_version_info, dialect._requires_alias_for_on_duplicate_key = (8, 9, 1), True
    return " ".join(str(statement.compile(dialect=dialect)).split())


def test_an_upsert_is_the_one_of_agno_without_the_owner_and_with_bound_times() -> None:
    assert compiled(statements("team").upsert_of({})) == (
        "INSERT INTO ai.sessions (session_id, user_id, memory, session_data, extra_data, created_at, team_id, "
        "team_session_id, team_data) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON DUPLICATE KEY UPDATE "
        "team_id = VALUES(team_id), team_session_id = VALUES(team_session_id), memory = VALUES(memory), "
        "session_data = VALUES(session_data), extra_data = VALUES(extra_data), team_data = VALUES(team_data), "
        "updated_at = %s"
    )


def test_an_empty_value_that_is_to_replace_nothing_is_not_among_what_is_replaced() -> None:
    some = statements("workflow_v2")
    sent = compiled(some.upsert_of({"session_data": b"{}", "extra_data": b'{"a":1}'}))
    assert "session_data = " not in sent
    assert "extra_data = VALUES(extra_data)" in sent
    both = compiled(some.upsert_of({"session_data": b"[]", "extra_data": b"{}"}))
    assert "session_data = VALUES(session_data)" in both
    assert "extra_data = " not in both


def test_ids_are_compared_by_the_key_and_byte_by_byte() -> None:
    assert compiled(statements("agent").read).endswith(
        "FROM ai.sessions WHERE ai.sessions.session_id = %s AND BINARY(ai.sessions.session_id) = BINARY(%s)"
    )
    assert compiled(statements("agent").delete) == (
        "DELETE FROM ai.sessions WHERE ai.sessions.session_id = %s AND BINARY(ai.sessions.session_id) = BINARY(%s)"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_table_is_the_one_of_agno_and_has_a_place_for_the_name_of_a_workflow(kind: str) -> None:
    shape = next(s for s in reversed(SHAPES) if s["kind"] == kind and s["variant"] == "direct")
    [create] = [
        text
        for text in render(plan_new(TableName("ai", "t"), (kind,), load_catalog(), SINGLESTORE), SINGLESTORE)
        if text.startswith("CREATE TABLE")
    ]
    columns = {" ".join(line.strip(", \n").split()) for line in create.splitlines()[1:-1]} - {""}
    agnos = {line.strip(", \t") for line in shape["ddl"].splitlines()[1:-1]}
    assert columns - agnos == ({"workflow_name TEXT"} if kind == "workflow_v2" else set())
    assert agnos <= columns


@pytest.mark.parametrize("scheme", ["mysql", "mysql+pymysql", "singlestoredb", "singlestoredb+mysql", "singlestore"])
def test_the_urls_that_users_of_agno_write_are_taken(scheme: str) -> None:
    url = f"{scheme}://admin:secret@host:3306/db"
    storage = SingleStoreStorage("sessions", db_url=url)
    assert storage.db_url == url
    assert storage.db_engine.url.render_as_string(hide_password=False) == URL
    assert (storage.schema, storage.mode, storage.auto_upgrade_schema) == ("ai", "agent", False)
    assert "secret" not in repr(storage)


def test_a_protocol_that_is_not_mysqls_is_refused_in_words() -> None:
    with pytest.raises(UnsupportedDatabase, match="singlestoredb is not supported"):
        SingleStoreStorage("sessions", db_url="singlestoredb+https://host/db")


def test_it_takes_agnos_arguments_in_agnos_order() -> None:
    engine = sa.create_engine(URL)
    storage = SingleStoreStorage("t", None, None, engine, 1, True, None)
    assert (storage.table_name, storage.schema, storage.db_engine) == ("t", None, engine)


def test_nothing_is_sent_that_singlestore_does_not_know(store: Database) -> None:
    storage = store.storage()
    sent: list[str] = []
    sa.event.listen(storage.db_engine, "before_cursor_execute", lambda *facts: sent.append(facts[2]))
    for kind in KINDS:
        each = store.storage(kind, mode=kind, db_url=None, db_engine=storage.db_engine)
        each.upsert(session(kind, user_id=None))
        each.upsert(session(kind))
        each.get_recent_sessions("ada", f"{kind.removesuffix('_v2')}-1")
        each.delete_session("s1")
        each.drop()
    assert {statement.split()[0] for statement in sent} == {"SELECT", "CREATE", "INSERT", "UPDATE", "DELETE", "DROP"}
    assert not [statement for statement in sent if UNKNOWN.search(statement)]


# --- a table that is there ---------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape["id"])
@pytest.mark.parametrize("flag", [True, False])
def test_a_table_of_a_release_is_used_as_it_is_or_refused_with_what_to_run(
    store: Database, shape: dict[str, Any], flag: bool
) -> None:
    name, kind = made(store, shape), shape["kind"]
    storage = SingleStoreStorage(name, db_url=store.url, mode=kind)
    storage.auto_upgrade_schema = storage._gate.upgrades = flag
    if kind == "workflow_v2" or shape["last_release"] != "agno-1.8.4":
        for call in (lambda: storage.read("s1"), lambda: storage.upsert(session(kind)), storage.upgrade_schema):
            with pytest.raises(SchemaOutdated, match="changes no table that is there. Run this") as refused:
                call()
        assert re.search(rf"{name} is outdated for ([a-z_0-9]+ and )?{kind}\b", str(refused.value))
        statements = "".join(re.findall(r"ALTER TABLE [^;]+;", str(refused.value)))
        assert statements
        assert not UNKNOWN.search(statements)
        store.run(statements)
    assert storage.upsert(session(kind)) == storage.read("s1")
    assert storage.upgrade_schema().plan.status is Status.CURRENT
    storage.db_engine.dispose()


def test_an_object_of_agnos_own_class_is_looked_at_in_the_same_way(store: Database) -> None:
    name = made(store, SHAPES[0])
    agnos = AgnoStorage(name, db_url=store.url.replace("mysql:", "mysql+pymysql:"))
    with pytest.raises(
        SchemaOutdated, match=r"Run this.*\n  ALTER TABLE ai.agent_sessions ADD COLUMN extra_data JSON;"
    ):
        upgrade_schema(agnos)
    agnos.db_engine.dispose()


def test_a_table_of_somebody_else_is_left_alone(store: Database) -> None:
    store.run("CREATE TABLE ai.sessions (session_id VARCHAR(255) PRIMARY KEY, token TEXT)")
    with pytest.raises(NotASessionTable):
        store.storage().read("s1")


def test_a_schema_that_is_not_there_is_not_made(store: Database) -> None:
    with pytest.raises(QueryFailed, match="Unknown database 'elsewhere'"):
        store.storage(schema="elsewhere").read("s1")


def test_without_a_schema_the_table_is_in_the_database_of_the_url(store: Database) -> None:
    storage = store.storage(schema=None)
    storage.upsert(session())
    assert storage.read("s1").user_id == "ada"
    assert store.run("SELECT count(*) FROM sessions") == [(1,)]


def test_a_table_that_two_storages_make_at_once_is_made_once(store: Database) -> None:
    def write(number: int) -> Any:
        storage = SingleStoreStorage("sessions", db_url=store.url)
        stored = storage.upsert(session(session_id=f"s{number}"))
        storage.db_engine.dispose()
        return stored

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(write, range(8)))
    assert len(store.storage().get_all_session_ids()) == 8


# Agno's table for the fourth kind lacks a column that its own statements name.
@pytest.mark.parametrize("kind", ["agent", "team", "workflow"])
def test_agnos_own_class_reads_what_ours_wrote_and_the_other_way_round(store: Database, kind: Kind) -> None:
    storage = store.storage(mode=kind)
    more: dict[str, Any] = {} if kind == "workflow" else {"workflow_session_id": None}  # Agno has no column for it
    storage.upsert(session(kind, **more))
    agnos = AgnoStorage("sessions", db_url=store.url.replace("mysql:", "mysql+pymysql:"), mode=kind)
    assert content(agnos.read("s1")) == content(storage.read("s1"))
    agnos.upsert(session(kind, "s2", **more))
    assert content(agnos.read("s2")) == content(storage.read("s2"))
    agnos.db_engine.dispose()


# --- what is read back -------------------------------------------------------------------------------------


def test_an_id_that_is_another_text_for_the_same_key_is_refused_and_nothing_is_written(store: Database) -> None:
    storage = store.storage()
    storage.upsert(session(session_id="s1", user_id="ada"))
    before = storage.read("s1")
    with pytest.raises(SessionIdTaken, match="Use another id.$"):
        storage.upsert(session(session_id="S1", memory={}))
    with pytest.raises(SessionOwnedByAnother):
        storage.upsert(session(user_id="Ada", memory={}))
    assert storage.read("s1") == before
    assert storage.read("S1") is storage.read("s1", "Ada") is None


def test_of_two_users_who_take_a_session_of_nobody_at_once_one_is_refused(store: Database) -> None:
    storage = store.storage()
    for number in range(20):
        name = f"s{number}"
        storage.upsert(session(session_id=name, user_id=None))

        def take(user: str, name: str = name) -> str:
            try:
                return str(storage.upsert(session(session_id=name, user_id=user)).user_id)
            except SessionOwnedByAnother:
                return "refused"

        with ThreadPoolExecutor(2) as pool:
            assert sorted(pool.map(take, ("ada", "bob")))[1] == "refused"


def test_a_text_that_does_not_come_back_is_refused_and_nothing_is_written(store: Database) -> None:
    engine = store.engine()
    sa.event.listen(engine, "connect", lambda raw, _: raw.cursor().execute("SET SESSION sql_mode = ''"))
    storage = store.storage(db_url=None, db_engine=engine)
    storage.create()
    store.run("ALTER TABLE ai.sessions MODIFY agent_id VARCHAR(5)")
    with pytest.raises(NotStorable, match="agent_id cannot be stored: the column holds something else of it"):
        storage.upsert(session())
    assert storage.get_all_session_ids() == []


def test_json_that_comes_back_as_another_value_is_returned_as_it_is_and_logged(
    store: Database, caplog: pytest.LogCaptureFixture
) -> None:
    storage = store.storage()
    storage.create()
    # As a database would that rounds numbers.
    store.run(
        "CREATE TRIGGER ai.rounds BEFORE INSERT ON ai.sessions FOR EACH ROW "
        "SET NEW.memory = REPLACE(NEW.memory, '1.5', '1.25')"
    )
    stored = storage.upsert(session(memory={"x": 1.5}))
    assert stored == storage.read("s1")
    assert stored.memory == {"x": 1.25}
    assert "session 's1': stored in another form: memory: not as it was sent" in caplog.text


def test_a_table_without_a_key_takes_no_second_row_of_a_session(store: Database) -> None:
    storage = store.storage()
    storage.upsert(session())
    store.run("ALTER TABLE ai.sessions DROP PRIMARY KEY")
    with pytest.raises(NotStorable, match="it has no primary key; nothing was written"):
        storage.upsert(session())
    assert store.run("SELECT count(*) FROM ai.sessions") == [(1,)]
