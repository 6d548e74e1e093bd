"""What `doctor` sees, on a real PostgreSQL: each rule with what provokes it."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from storage_admin import StorageAdmin
from storage_admin.catalog import Catalog
from storage_admin.doctor import Level
from tests.conftest import Database
from tests.integration.findings import current_agents, found, role, running, transaction
from tests.integration.tables import definition, logged_statements, old_agents
from tests.integration.test_large_tables import old_snapshot

# --- nothing to find ---------------------------------------------------------------------------------------


def test_a_healthy_database_has_no_findings_but_what_was_looked_at(postgres: Database) -> None:
    current_agents(postgres)
    diagnosis = postgres.admin().doctor()
    assert {f.rule: f.seen for f in diagnosis.findings if f.level is not Level.OK} == {}
    assert diagnosis.level is Level.OK
    assert diagnosis.database.server_version
    assert len({f.rule for f in diagnosis.findings}) > 20


def test_a_diagnosis_changes_nothing_and_leaves_nothing_behind(postgres: Database, postgresql_proc: Any) -> None:
    old_agents(postgres)
    before = definition(postgres)
    postgres.run(f"ALTER DATABASE {postgres.url.rpartition('/')[2]} SET log_statement = 'mod'")
    postgres.admin().doctor(long=0)
    assert logged_statements(postgresql_proc, postgres.url.rpartition("/")[2]) == []
    assert definition(postgres) == before
    assert postgres.run("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]


def test_a_diagnosis_works_on_the_engine_of_an_application(postgres: Database) -> None:
    current_agents(postgres)
    assert StorageAdmin(postgres.engine()).doctor().level is Level.OK


def test_it_waits_for_nobody_who_holds_a_table_for_himself_alone(postgres: Database) -> None:
    name = old_agents(postgres)
    with transaction(postgres, f"LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE"):
        diagnosis = postgres.admin().doctor(long=0)
    assert not [f.seen for f in diagnosis.findings if f.rule == "not-looked-at"]
    assert "outdated-tables" in {f.rule for f in diagnosis.findings if f.level is Level.WARNING}


# --- the tables --------------------------------------------------------------------------------------------


def test_outdated_drifted_and_missing_tables_are_told_apart(postgres: Database, catalog: Catalog) -> None:
    [none] = found(postgres, "no-tables")
    assert (none.level, "storage-admin upgrade" in none.advice) == (Level.WARNING, True)
    name = old_agents(postgres)
    [outdated] = found(postgres, "outdated-tables")
    assert (outdated.level, outdated.objects) == (Level.WARNING, (name,))
    current_agents(postgres, "other")
    postgres.run("ALTER TABLE ai.other ALTER COLUMN user_id TYPE bigint USING 1")
    [drifted] = found(postgres, "drifted-tables")
    assert (drifted.level, drifted.objects) == (Level.PROBLEM, ("ai.other",))
    postgres.admin().upgrade([name])
    postgres.run(f"UPDATE ai.storage_admin_revisions SET to_version = {catalog.head + 1} WHERE table_name = 'sessions'")
    [ahead] = found(postgres, "ahead-tables")
    assert (ahead.level, ahead.objects) == (Level.PROBLEM, (name,))


# --- the connection and the role ---------------------------------------------------------------------------


def test_a_server_that_cannot_be_reached_is_a_finding_without_the_password() -> None:
    diagnosis = StorageAdmin("postgresql://ai:canary-secret@127.0.0.1:1/ai").doctor()
    [finding] = diagnosis.findings
    assert (finding.rule, finding.level) == ("connection", Level.PROBLEM)
    assert finding.advice == "Check host and port, and that the server is running."
    assert "canary" not in str(diagnosis)


def test_a_connection_in_the_clear_to_another_machine_is_warned_of(postgres: Database) -> None:
    current_agents(postgres)
    host = postgres.dsn.split("host=")[1].split()[0]
    there = postgres.url.replace(f"@{host}:", "@db.example:") + f"?hostaddr={host}&sslmode=disable"
    [finding] = found(postgres, "encryption", url=there)
    assert finding.level is Level.WARNING
    assert "db.example in the clear" in finding.seen


def test_a_role_that_may_not_upgrade_is_told_what_to_ask_for(postgres: Database) -> None:
    old_agents(postgres)
    with (
        role(postgres, "keeper", "GRANT ALL ON SCHEMA ai TO keeper", "ALTER TABLE ai.sessions OWNER TO keeper"),
        role(postgres, "app", "GRANT USAGE ON SCHEMA ai TO app", "GRANT ALL ON ai.sessions TO app") as url,
    ):
        [finding] = found(postgres, "rights", url=url)
        assert (finding.level, finding.objects) == (Level.PROBLEM, ("ai.sessions",))
        assert "app is no member of keeper" in finding.seen
        assert "ask for: GRANT keeper TO app, then storage-admin upgrade --role keeper." in finding.advice
        postgres.run("REVOKE CREATE ON SCHEMA ai FROM keeper")
        [lacking] = found(postgres, "rights", url=url)
        assert "GRANT keeper TO app; GRANT USAGE, CREATE ON SCHEMA ai TO keeper, then" in lacking.advice
        postgres.run("GRANT CREATE ON SCHEMA ai TO keeper")
        postgres.run("GRANT keeper TO app")
        StorageAdmin(url, role="keeper").upgrade()
        postgres.run("REVOKE keeper FROM app")
        [later] = found(postgres, "rights", url=url)
        assert later.level is Level.NOTE
        postgres.run("REVOKE CREATE ON SCHEMA ai FROM keeper; GRANT keeper TO app")
        [schema] = found(postgres, "rights", url=url)
        assert "may not create an index in that schema" in schema.seen


def test_a_role_that_does_not_see_other_sessions_is_told_so(postgres: Database) -> None:
    current_agents(postgres)
    with role(postgres, "blind", "GRANT USAGE ON SCHEMA ai TO blind") as url:
        [finding] = found(postgres, "monitoring", url=url)
        assert (finding.level, finding.advice) == (Level.NOTE, "For a full view: GRANT pg_read_all_stats TO blind")
        postgres.run("GRANT pg_read_all_stats TO blind")
        assert found(postgres, "monitoring", url=url) == []


def test_what_a_role_may_not_look_at_is_a_note_and_stops_nothing(postgres: Database) -> None:
    current_agents(postgres)
    postgres.run("REVOKE SELECT ON pg_catalog.pg_prepared_xacts FROM PUBLIC")
    with role(postgres, "curbed", "GRANT USAGE ON SCHEMA ai TO curbed") as url:
        notes = found(postgres, "not-looked-at", url=url)
        assert [note.objects for note in notes] == [("prepared-transactions",)]
        assert "permission denied" in notes[0].seen
        assert found(postgres, "triggers", url=url) == []  # a check that comes after it


def test_a_session_that_is_read_only_by_default_is_a_problem(postgres: Database) -> None:
    current_agents(postgres)
    with role(postgres, "reader", "ALTER ROLE reader SET default_transaction_read_only = on") as url:
        [finding] = found(postgres, "read-only", url=url)
        assert finding.level is Level.PROBLEM
        assert "default_transaction_read_only of the role" in finding.seen
        assert finding.advice.endswith("ALTER ROLE reader SET default_transaction_read_only = off")


def test_timeouts_are_shown_with_where_they_come_from(postgres: Database) -> None:
    current_agents(postgres)
    name = postgres.url.rpartition("/")[2]
    postgres.run(f"ALTER DATABASE {name} SET idle_in_transaction_session_timeout = '30s'")
    with role(postgres, "hurried", "ALTER ROLE hurried SET statement_timeout = '1500ms'") as url:
        seen = {f.objects[0]: f for f in found(postgres, "timeouts", url=url)}
    assert seen["statement_timeout"].seen == "statement_timeout is 1.5 s of the role"
    assert seen["idle_in_transaction_session_timeout"].seen.endswith("is 30 s of the database")
    assert {f.level for f in seen.values()} == {Level.NOTE}


# --- who is in the way -------------------------------------------------------------------------------------


def test_a_session_that_holds_a_table_is_named_and_its_query_shown_without_literals(postgres: Database) -> None:
    name = current_agents(postgres)
    query = f"SELECT session_id FROM {name} WHERE user_id = 'canary-user' AND created_at > 4711"
    with transaction(postgres, query) as other:
        [finding] = found(postgres, "held-locks")
        assert (finding.level, finding.objects) == (Level.WARNING, (name, str(other.info.backend_pid)))
        assert "a report" in finding.seen
        assert "idle in transaction" in finding.seen
        assert f"pg_terminate_backend({other.info.backend_pid})" in finding.advice
        assert not {"canary-user", "4711"} & set(finding.seen.replace("'", " ").split())
        assert "canary" not in str(postgres.admin().doctor(long=0))
        assert found(postgres, "held-locks", long=3600) == []


def test_a_session_that_waits_for_a_table_is_shown_with_who_is_in_its_way(postgres: Database) -> None:
    name = current_agents(postgres)
    waits = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'ai.sessions'::regclass"
    with (
        transaction(postgres, f"SELECT 1 FROM {name}") as holder,
        running(postgres, f"ALTER TABLE {name} ADD COLUMN x int DEFAULT 123456", waits),
    ):
        [finding] = found(postgres, "waiting-sessions")
        assert (finding.level, finding.objects[0]) == (Level.PROBLEM, name)
        assert f"in its way: pid {holder.info.backend_pid}" in finding.seen
        assert "AccessExclusiveLock" in finding.seen
        assert "123456" not in finding.seen
        [soft] = found(postgres, "waiting-sessions", long=3600)
        assert soft.level is Level.WARNING


def test_a_transaction_that_an_index_build_would_wait_for_is_warned_of(postgres: Database) -> None:
    current_agents(postgres)
    with old_snapshot(postgres):
        [finding] = found(postgres, "open-transactions")
        assert finding.level is Level.WARNING
        assert "a report" in finding.seen
        assert "a secret" not in finding.seen
        assert found(postgres, "open-transactions", long=3600) == []


def test_a_prepared_transaction_is_a_warning_and_one_that_holds_a_table_a_problem(postgres: Database) -> None:
    name = current_agents(postgres)
    gids = [f"{postgres.dsn[-8:]}'s {place}" for place in ("elsewhere", "ours")]
    try:
        for gid, statement in zip(gids, ("SELECT txid_current()", f"LOCK {name} IN SHARE MODE"), strict=True):
            with psycopg.connect(postgres.dsn, autocommit=True) as connection:
                connection.execute("BEGIN")
                connection.execute(statement)
                connection.execute(sql.SQL("PREPARE TRANSACTION {}").format(gid))
        elsewhere, ours = found(postgres, "prepared-transactions")
        assert (elsewhere.level, ours.level) == (Level.WARNING, Level.PROBLEM)
        assert f"holds {name}" in ours.seen
        with psycopg.connect(postgres.dsn, autocommit=True) as connection:
            connection.execute(ours.advice.rpartition("or ")[2])  # is SQL as it stands
        assert [f.level for f in found(postgres, "prepared-transactions")] == [Level.WARNING]
    finally:
        with psycopg.connect(postgres.dsn, autocommit=True) as connection:
            left = connection.execute("SELECT gid FROM pg_prepared_xacts WHERE database = current_database()")
            for (gid,) in left.fetchall():
                connection.execute(sql.SQL("ROLLBACK PREPARED {}").format(gid))
