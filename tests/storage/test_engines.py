"""Engines as applications make them: forked, shared, with handlers, with one connection, for many tenants."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from storage_admin import PostgresStorage, SqliteStorage, upgrade_schema
from storage_admin.errors import DatabaseBusy
from tests.conftest import Database
from tests.integration.tables import old_agents
from tests.storage.sessions import session

CHILDREN = 2
READS = 100


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("given", [True, False])
def test_forked_children_have_connections_of_their_own(database: Database, given: bool) -> None:
    options: dict[str, Any] = {"db_url": None, "db_engine": database.engine()} if given else {}
    storage = database.storage(mode="agent", auto_upgrade_schema=True, **options)
    for number in range(CHILDREN):
        storage.upsert(session(session_id=f"s{number}", user_id=f"u{number}"))
    children = [forked(storage, number) for number in range(CHILDREN)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * CHILDREN
    assert storage.read("s0").user_id == "u0"


def forked(storage: Any, number: int) -> int:
    child = os.fork()
    if child:
        return child
    wrong = 1
    with suppress(BaseException):
        wrong = sum(storage.read(f"s{number}").user_id != f"u{number}" for _ in range(READS))
        storage.upsert(session(session_id=f"s{number}", user_id=f"u{number}"))
    os._exit(min(wrong, 1))


def test_what_begins_the_transactions_of_an_engine_goes_on_doing_so(postgres: Database) -> None:
    postgres.storage(mode="agent").create()
    postgres.run(
        "CREATE ROLE tenant; GRANT USAGE ON SCHEMA ai TO tenant; GRANT ALL ON ai.sessions TO tenant;"
        "ALTER TABLE ai.sessions ENABLE ROW LEVEL SECURITY;"
        "CREATE POLICY own ON ai.sessions USING (user_id = current_setting('app.user'))"
    )
    seen = {}
    for user in ("ada", "bob"):
        engine = postgres.engine()

        @sa.event.listens_for(engine, "begin")
        def become(connection: sa.Connection, user: str = user) -> None:
            connection.exec_driver_sql("SET LOCAL ROLE tenant")
            connection.execute(sa.text("SELECT set_config('app.user', :user, true)"), {"user": user})

        storage = PostgresStorage("sessions", db_engine=engine, mode="agent")
        assert storage.upsert(session(session_id=f"of {user}", user_id=user)).user_id == user
        seen[user] = storage.get_all_session_ids()
    assert seen == {"ada": ["of ada"], "bob": ["of bob"]}
    postgres.run("DROP OWNED BY tenant; DROP ROLE tenant")


def test_an_engine_that_translates_schemas_keeps_tenants_apart(postgres: Database) -> None:
    for tenant in ("a", "b"):
        postgres.run(f"CREATE SCHEMA tenant_{tenant}")
        engine = postgres.engine().execution_options(schema_translate_map={"ai": f"tenant_{tenant}"})
        storage = PostgresStorage("sessions", db_engine=engine, auto_upgrade_schema=True)
        assert storage.read("s1") is None
        storage.upsert(session(user_id=tenant))
        assert storage.read("s1").user_id == tenant
        assert upgrade_schema(storage).plan.table.schema == f"tenant_{tenant}"
    assert postgres.run("SELECT tablename FROM pg_tables WHERE schemaname = 'ai'") == []


@pytest.mark.parametrize("event", ["connect", "checkout", "engine_connect"])
def test_an_engine_that_says_something_to_each_connection_can_be_used(postgres: Database, event: str) -> None:
    postgres.run("CREATE SCHEMA ai; CREATE SCHEMA other")
    old_agents(postgres)
    engine = postgres.engine()

    def speak(connection: Any, *_: object) -> None:
        if isinstance(connection, sa.Connection):
            connection.exec_driver_sql("SET search_path TO other")
        else:
            connection.cursor().execute("SET search_path TO other")

    sa.event.listen(engine, event, speak)
    storage = PostgresStorage("sessions", db_engine=engine, mode="agent", auto_upgrade_schema=True)
    storage.upsert(session())
    assert storage.read("s1").user_id == "ada"
    nowhere = PostgresStorage("elsewhere", schema=None, db_engine=engine)
    nowhere.upsert(session())
    assert postgres.run("SELECT user_id FROM other.elsewhere") == [("ada",)]


def test_an_engine_of_sqlite_that_begins_its_transactions_itself_can_be_used(sqlite: Database) -> None:
    old_agents(sqlite)
    engine = sqlite.engine()

    @sa.event.listens_for(engine, "connect")
    def leave_it_to_us(connection: Any, _: object) -> None:
        connection.isolation_level = None

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    storage = SqliteStorage("sessions", db_engine=engine, mode="agent", auto_upgrade_schema=True)
    storage.upsert(session())
    SqliteStorage("new", db_engine=engine).upsert(session())
    assert sqlite.run("SELECT user_id FROM sessions UNION ALL SELECT user_id FROM new") == [("ada",), ("ada",)]


def test_threads_take_turns_on_an_engine_of_one_connection() -> None:
    engine = sa.create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    storage = SqliteStorage("sessions", db_engine=engine, auto_upgrade_schema=True)

    def work(number: int) -> Any:
        storage.upsert(session(session_id=f"s{number}"))
        return storage.read(f"s{number}")

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(200)))
    assert len(storage.get_all_session_ids()) == 200
    engine.dispose()


def test_a_pool_that_is_used_up_is_an_error_of_ours(postgres: Database) -> None:
    url = postgres.url.replace("postgresql:", "postgresql+psycopg:")
    engine = sa.create_engine(url, pool_size=1, max_overflow=0, pool_timeout=0.1)
    postgres.engines.append(engine)
    storage = PostgresStorage("sessions", db_engine=engine, mode="agent")
    storage.create()
    with engine.connect():
        for call in (lambda: storage.read("s1"), lambda: storage.upsert(session()), storage.table_exists):
            with pytest.raises(DatabaseBusy, match="every connection of the pool is in use"):
                call()
    assert storage.read("s1") is None


def test_an_engine_that_streams_its_results_can_be_used(postgres: Database) -> None:
    engine = postgres.engine().execution_options(stream_results=True)
    storage = PostgresStorage("sessions", db_engine=engine)
    storage.upsert(session())
    assert storage.read("s1").user_id == "ada"
