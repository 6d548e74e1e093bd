"""What `repair` does, on real databases: indexes and nothing else."""

from __future__ import annotations

import psycopg
import pytest

from storage_admin import Status, UpgradeFailed
from storage_admin.catalog import Catalog
from storage_admin.errors import NoSuchTable
from tests.conftest import Database
from tests.integration import tables
from tests.integration.tables import definition, old_agents
from tests.integration.test_large_tables import large_agents, leave_invalid

INDEX = "ix_ai_sessions_user_id"


def index_name(database: Database, column: str) -> str:
    return f"ix_{'ai_' if database.dialect.has_schemas else ''}sessions_{column}"


def drop_index(database: Database, column: str = "user_id") -> str:
    return tables.drop_index(database, f"sessions_{column}", database.table("sessions"))


def make_unusable(database: Database, column: str) -> None:
    """Leave an index of a small table as an interrupted CREATE INDEX CONCURRENTLY leaves it."""
    name = drop_index(database, column)
    with psycopg.connect(database.dsn) as reader, psycopg.connect(database.dsn, autocommit=True) as builder:
        reader.execute("LOCK TABLE ai.sessions IN ROW EXCLUSIVE MODE")
        builder.execute("SET lock_timeout = '50ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            builder.execute(f"CREATE INDEX CONCURRENTLY {name} ON ai.sessions ({column})")


def test_a_missing_index_is_built_and_recorded(database: Database, catalog: Catalog) -> None:
    database.admin().upgrade([f"{database.table('sessions')}=agent"])
    name = drop_index(database)
    report = database.admin().repair()
    assert [str(change) for change in report.outcomes[0].plan.changes] == [f"create index {name}"]
    assert database.admin().check().status is Status.CURRENT
    assert database.admin().history()[-1].to_version == catalog.head
    assert report.outcomes[0].version == catalog.head


def test_columns_and_their_indexes_are_left_and_said(database: Database) -> None:
    table = old_agents(database, version=6)
    name = drop_index(database)
    columns = [row for row in definition(database) if "INDEX" not in str(row)]
    report = database.admin().repair()
    [outcome] = report.outcomes
    assert [str(change) for change in outcome.plan.changes] == [f"create index {name}"]
    assert "add column team_session_id" in [str(change) for change in outcome.plan.beyond_repair]
    assert f"create index {index_name(database, 'team_session_id')}" in report.notes[0]
    assert report.notes[0].startswith(f"{table}: left for `storage-admin upgrade`: add column team_session_id")
    left = {str(change) for change in database.admin().plan().plans[0].changes}
    assert left == {str(change) for change in outcome.plan.beyond_repair}
    assert set(columns) <= set(definition(database))


def test_the_record_claims_no_version_that_the_table_is_not_at(database: Database) -> None:
    table = old_agents(database, version=6)
    drop_index(database)
    [outcome] = database.admin().repair().outcomes
    [revision] = database.admin().history(table)
    [plan] = database.admin().check().plans
    assert revision.to_version == plan.version == outcome.version
    assert plan.version == 6
    assert database.admin().upgrade().outcomes[0].changed


def test_nothing_to_repair_sends_nothing_and_records_nothing(database: Database) -> None:
    old_agents(database, version=6)
    before = definition(database)
    [outcome] = database.admin().repair().outcomes
    assert (outcome.changed, outcome.version) == (False, outcome.plan.version)
    assert database.admin().repair(jobs=2).outcomes[0].changed is False
    assert definition(database) == before


def test_a_table_is_never_created(database: Database) -> None:
    old_agents(database, "other")
    with pytest.raises(NoSuchTable, match=r"To create it: storage-admin upgrade .*sessions=agent"):
        database.admin().repair([f"{database.table('sessions')}=agent"])


def test_a_drifted_table_is_named_and_left_whether_an_index_is_missing_or_not(sqlite: Database) -> None:
    sqlite.admin().upgrade(["sessions=agent"])
    sqlite.run(
        "ALTER TABLE sessions RENAME COLUMN created_at TO old; ALTER TABLE sessions ADD COLUMN created_at DATETIME"
    )
    assert sqlite.admin().check().status is Status.DRIFTED
    for missing in (False, True):
        if missing:
            drop_index(sqlite)
        before = definition(sqlite)
        with pytest.raises(UpgradeFailed, match="created_at is DATETIME") as failed:
            sqlite.admin().repair()
        assert failed.value.exit_code == 3
        assert definition(sqlite) == before


def test_of_several_tables_the_drifted_one_is_named_beside_what_was_repaired(database: Database) -> None:
    old_agents(database, version=6)
    whole = old_agents(database, "whole", version=6)
    drop_index(database)
    database.run(f"CREATE TABLE {database.table('odd')} AS SELECT * FROM {whole}")  # without a primary key
    if database.dialect.name == "postgresql":  # and without what a repair would leave for an upgrade
        database.run(f"ALTER TABLE {whole} ALTER COLUMN created_at DROP DEFAULT")
    with pytest.raises(UpgradeFailed, match=r"^1 of 3 tables could not be repaired:\n.*odd was not changed") as failed:
        database.admin().repair()
    assert failed.value.exit_code == 3
    assert [outcome.changed for outcome in failed.value.report.outcomes if outcome.error is None].count(True) == 1


def test_a_table_that_is_ahead_is_left_alone(sqlite: Database, catalog: Catalog) -> None:
    sqlite.admin().upgrade(["sessions=agent"])
    sqlite.run(f"UPDATE storage_admin_revisions SET to_version = {catalog.head + 1}")
    with pytest.raises(UpgradeFailed) as failed:
        sqlite.admin().repair()
    assert failed.value.exit_code == 4


def test_an_invalid_index_of_a_small_table_is_rebuilt_and_its_columns_stay_as_they_are(postgres: Database) -> None:
    old_agents(postgres, version=6)
    make_unusable(postgres, "user_id")
    [outcome] = postgres.admin().repair().outcomes
    assert [str(change) for change in outcome.plan.changes] == [f"rebuild index {INDEX}"]
    assert postgres.run("SELECT bool_and(indisvalid) FROM pg_index WHERE indrelid = 'ai.sessions'::regclass") == [
        (True,)
    ]
    assert "team_session_id" not in str(definition(postgres))


def test_an_invalid_index_of_a_large_table_is_rebuilt_beside_its_writers(postgres: Database) -> None:
    large_agents(postgres)
    leave_invalid(postgres)
    postgres.run("ALTER TABLE ai.sessions ALTER COLUMN created_at DROP DEFAULT")
    [outcome] = postgres.admin().repair().outcomes
    assert [statement.split(" ai.")[0] for statement in outcome.statements] == [
        "DROP INDEX CONCURRENTLY",
        "CREATE INDEX CONCURRENTLY ix_ai_sessions_team_session_id ON",
    ]
    assert [str(change) for change in outcome.plan.beyond_repair] == ["set the default of created_at"]
    [plan] = postgres.admin().check().plans
    assert [str(change) for change in plan.changes] == ["set the default of created_at"]


def test_a_large_partitioned_table_with_a_missing_column_is_not_told_to_build_an_index_on_it(
    postgres: Database,
) -> None:
    old_agents(postgres, "template")
    postgres.run(
        "CREATE TABLE ai.sessions (LIKE ai.template INCLUDING DEFAULTS, PRIMARY KEY (session_id)) "
        "PARTITION BY HASH (session_id);"
        "CREATE TABLE ai.part PARTITION OF ai.sessions FOR VALUES WITH (MODULUS 1, REMAINDER 0);"
        "INSERT INTO ai.sessions (session_id, user_id) SELECT 's' || g, repeat(md5(g::text), 30) "
        "FROM generate_series(1, 9000) g"
    )
    with pytest.raises(UpgradeFailed, match="is a partitioned table of") as failed:
        postgres.admin().repair(["ai.sessions"])
    assert "team_session_id" not in str(failed.value)
