"""What is refused or left alone, and how it is said, on real databases."""

from __future__ import annotations

from functools import partial

import pytest

from storage_admin import Status, UpgradeFailed
from storage_admin.catalog import Catalog
from storage_admin.database import connected, dialect_of
from storage_admin.discovery import Finder
from storage_admin.errors import (
    AmbiguousTable,
    BadTableName,
    KindNeeded,
    NoSuchTable,
    NoTablesFound,
    NotASessionTable,
    NotATable,
    SchemaDrifted,
)
from storage_admin.executor import apply
from storage_admin.history import REVISIONS
from storage_admin.locking import Patience
from tests.conftest import Database
from tests.integration.tables import definition, drop_index, old_agents
from tests.shapes import released_shapes

ASSISTANTS = {shape.dialect: shape for shape in released_shapes(assistants=True)}

DRIFTED = {
    "postgresql": (
        "CREATE TABLE ai.sessions (session_id VARCHAR NOT NULL, agent_id VARCHAR, user_id VARCHAR, memory JSONB, "
        "agent_data JSONB, session_data JSONB, extra_data JSONB, created_at INTEGER, updated_at BIGINT, "
        "tenant TEXT NOT NULL)"
    ),
    "mysql": (
        "CREATE TABLE ai.sessions (session_id VARCHAR(255) NOT NULL, agent_id VARCHAR(255), user_id VARCHAR(255), "
        "memory JSON, agent_data JSON, session_data JSON, extra_data JSON, created_at INTEGER, updated_at BIGINT, "
        "tenant VARCHAR(9) NOT NULL)"
    ),
    "sqlite": (
        "CREATE TABLE sessions (session_id VARCHAR NOT NULL, agent_id VARCHAR, user_id VARCHAR, memory JSON, "
        "agent_data JSON, session_data JSON, extra_data JSON, created_at DATETIME, updated_at INTEGER, "
        "tenant TEXT NOT NULL)"
    ),
}


def test_a_drifted_table_is_left_as_it_is_and_the_others_are_upgraded(database: Database) -> None:
    other = old_agents(database, "other")
    database.run(DRIFTED[database.dialect.name])
    with pytest.raises(UpgradeFailed) as caught:
        database.admin().upgrade()
    assert caught.value.exit_code == 3
    for words in ("created_at is", "tenant is an extra one, NOT NULL", "the primary key (session_id) is missing"):
        assert words in str(caught.value)
    statuses = {str(plan.table): plan.status for plan in database.admin().check().plans}
    assert statuses == {other: Status.CURRENT, database.table("sessions"): Status.DRIFTED}


def test_a_drifted_table_changes_nothing_at_all(database: Database) -> None:
    database.run(DRIFTED[database.dialect.name])
    before = definition(database)
    with pytest.raises(UpgradeFailed):
        database.admin().upgrade()
    assert definition(database) == before


def test_a_table_recorded_by_a_newer_catalogue_is_left_alone(database: Database, catalog: Catalog) -> None:
    name = old_agents(database)
    database.admin().upgrade(to=catalog.head)
    database.run(f"UPDATE {database.table(REVISIONS)} SET to_version = {catalog.head + 1}")
    assert database.admin().check().status is Status.AHEAD
    with pytest.raises(UpgradeFailed, match=f"{name} was recorded at version {catalog.head + 1}") as caught:
        database.admin().upgrade()
    assert caught.value.exit_code == 4


def test_a_table_that_is_not_there_needs_its_kind_and_meets_a_suggestion(database: Database) -> None:
    old_agents(database, "agent_sessions")
    with pytest.raises(NoSuchTable, match="Did you mean .*agent_sessions"):
        database.admin().plan(["agent_session"])


def test_nothing_found_is_an_error_that_says_what_to_do(database: Database) -> None:
    with pytest.raises(NoTablesFound, match="Check the URL and --schema"):
        database.admin().check()


@pytest.mark.parametrize("relation", ["view", "materialized view", "foreign table", "partition"])
def test_what_is_no_table_is_refused_by_what_it_is(postgres: Database, relation: str) -> None:
    name = old_agents(postgres)
    postgres.run({
        "view": f"CREATE VIEW ai.thing AS SELECT * FROM {name}",
        "materialized view": f"CREATE MATERIALIZED VIEW ai.thing AS SELECT * FROM {name}",
        "foreign table": (
            "CREATE EXTENSION file_fdw; CREATE SERVER s FOREIGN DATA WRAPPER file_fdw; CREATE FOREIGN TABLE ai.thing "
            "(session_id text, agent_id text) SERVER s OPTIONS (filename '/dev/null')"
        ),
        "partition": (
            f"CREATE TABLE ai.parent (LIKE {name}, PRIMARY KEY (session_id)) PARTITION BY HASH (session_id); "
            "CREATE TABLE ai.thing PARTITION OF ai.parent FOR VALUES WITH (MODULUS 1, REMAINDER 0)"
        ),
    }[relation])  # fmt: skip
    with pytest.raises(NotATable, match=f"ai.thing is a {relation}"):
        postgres.admin().upgrade(["ai.thing"])
    found = {str(plan.table) for plan in postgres.admin().check().plans}
    assert found == {name} | ({"ai.parent"} if relation == "partition" else set())


def test_a_partitioned_table_is_upgraded_with_its_partitions(postgres: Database) -> None:
    name = old_agents(postgres)
    postgres.run(
        f"CREATE TABLE ai.parent (LIKE {name} INCLUDING DEFAULTS, PRIMARY KEY (session_id)) "
        "PARTITION BY HASH (session_id);"
        "CREATE TABLE ai.child PARTITION OF ai.parent FOR VALUES WITH (MODULUS 1, REMAINDER 0)"
    )
    postgres.admin().upgrade(["ai.parent"])
    columns = postgres.run("SELECT table_name FROM information_schema.columns WHERE column_name = 'team_session_id'")
    assert sorted(columns) == [("child",), ("parent",)]
    assert postgres.admin().check(["ai.parent"]).status is Status.CURRENT


def test_somebody_elses_table_is_not_turned_into_ours_even_when_named(database: Database) -> None:
    name = database.table("web_sessions")
    database.run(f"CREATE TABLE {name} (session_id VARCHAR(255) PRIMARY KEY, data TEXT)")
    with pytest.raises(NotASessionTable, match="is not a session table: to hold"):
        database.admin().upgrade([f"{name}=agent"])


@pytest.mark.parametrize("backend", ["postgres", "sqlite"])  # no release made one on MySQL
def test_the_tables_of_phidatas_assistants_are_not_ours(backend: str, request: pytest.FixtureRequest) -> None:
    database: Database = request.getfixturevalue(backend)
    if database.dialect.has_schemas:
        database.run("CREATE SCHEMA ai")
    database.run(ASSISTANTS[database.dialect.name].ddl)
    with pytest.raises(NoTablesFound):
        database.admin().inspect()


def test_a_column_that_was_dropped_by_hand_is_noticed_and_mended_when_the_kind_is_named(database: Database) -> None:
    name = old_agents(database, version=10)
    drop_index(database, "sessions_user_id", name)
    database.run(f"ALTER TABLE {name} DROP COLUMN user_id")
    with pytest.raises(NoTablesFound, match=f"looks like a table for agent, but has no column user_id.*{name}=agent"):
        database.admin().check()
    with pytest.raises(KindNeeded, match=f"{name}=agent"):
        database.admin().upgrade([name])
    database.admin().upgrade([f"{name}=agent"])
    assert database.admin().check().status is Status.CURRENT


def test_one_name_in_two_schemas_is_ambiguous_and_a_schema_settles_it(postgres: Database) -> None:
    postgres.admin().upgrade(["one.sessions=agent", "two.sessions=agent"], to=4)
    with pytest.raises(AmbiguousTable, match="one.sessions, two.sessions"):
        postgres.admin().upgrade(["sessions"])
    postgres.admin(schema="two").upgrade(["sessions"])
    assert [plan.version for plan in postgres.admin().check().plans] == [4, postgres.admin().catalog.head]


def test_a_broken_view_and_a_virtual_table_do_not_disturb_sqlite(sqlite: Database) -> None:
    name = old_agents(sqlite)
    sqlite.run("CREATE TABLE gone (session_id); CREATE VIEW v AS SELECT * FROM gone; DROP TABLE gone;")
    sqlite.run("CREATE VIRTUAL TABLE words USING fts5(session_id); ")
    assert [str(plan.table) for plan in sqlite.admin().inspect().plans] == [name]
    with pytest.raises(NotATable, match="v is a view"):
        sqlite.admin().upgrade(["v"])


def test_an_empty_list_of_tables_means_none_of_them(database: Database) -> None:
    old_agents(database)
    assert database.admin().upgrade([]).outcomes == ()
    assert database.admin().check([]).plans == ()
    assert database.admin().check().status is Status.OUTDATED


def test_our_own_log_is_no_table_of_sessions(database: Database) -> None:
    database.admin().upgrade([f"{database.table('sessions')}=agent"])
    with pytest.raises(BadTableName, match="our own log"):
        database.admin().upgrade([f"{database.table(REVISIONS)}=agent"])


def test_a_kind_is_added_to_a_table_that_was_recorded_before_the_kind_was_there(database: Database) -> None:
    name = old_agents(database)
    database.admin().upgrade(to=5)
    survey = database.admin().plan([f"{name}=team"])
    assert survey.plans[0].kinds == ("agent", "team")
    assert survey.notes == (f"{name} holds agent; team is added because you named it",)


def test_drift_that_appears_after_the_first_look_is_refused_inside_the_lock(database: Database) -> None:
    name = old_agents(database)
    engine = database.engine()
    with connected(engine) as connection:
        finder = Finder(connection, dialect_of(engine), database.admin().catalog, None, "test")
        [plan], _ = finder.survey(None)
        database.run(f"DROP TABLE {name}")
        database.run(DRIFTED[database.dialect.name])
        again = partial(finder.again, plan)
        with pytest.raises(SchemaDrifted, match="the primary key"):
            apply(connection, finder.dialect, plan, again, Patience(), "test", partial(connected, engine))
