"""What `upgrade` does, on real databases: creating, changing, recording."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from storage_admin import Patience, Status, StorageAdmin, UpgradeFailed
from storage_admin.catalog import Catalog
from storage_admin.errors import (
    BadTableName,
    NameTooLong,
    NoSchemas,
    TableGone,
)
from storage_admin.history import REVISIONS
from tests.conftest import Database
from tests.integration.tables import definition, drop_index, old_agents
from tests.shapes import ODD_NAMES

# --- creating ----------------------------------------------------------------------------------------------


def test_a_missing_table_is_created_with_its_schema(postgres: Database) -> None:
    report = postgres.admin().upgrade(["ai.fresh=agent,team"])
    assert report.outcomes[0].statements[0] == "CREATE SCHEMA IF NOT EXISTS ai"
    [plan] = postgres.admin().check().plans
    assert (str(plan.table), plan.kinds, plan.status) == ("ai.fresh", ("agent", "team"), Status.CURRENT)


def test_a_table_without_a_schema_is_created_where_agno_would_or_where_it_is_told(postgres: Database) -> None:
    postgres.admin().upgrade(["one=agent"])
    postgres.admin(schema="other").upgrade(["two=agent"])
    assert [str(plan.table) for plan in postgres.admin().check().plans] == ["ai.one", "other.two"]


def test_no_right_to_create_schemas_is_needed_where_the_schema_exists(postgres: Database) -> None:
    postgres.run("CREATE SCHEMA ai; CREATE ROLE modest LOGIN; GRANT ALL ON SCHEMA ai TO modest")
    try:
        modest = StorageAdmin(postgres.url.replace("://postgres@", "://modest@"))
        report = modest.upgrade(["ai.fresh=agent"])
        assert not any("SCHEMA" in statement for statement in report.outcomes[0].statements)
        assert modest.check().status is Status.CURRENT
    finally:
        postgres.run("DROP OWNED BY modest CASCADE; DROP ROLE modest")


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_go_all_the_way(database: Database, name: str) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    prefix = "ai." if database.dialect.has_schemas else ""
    database.run(f"CREATE TABLE {prefix}victim (id int)")
    admin = database.admin()
    admin.upgrade([f"{prefix}{quoted}=agent"], to=4)
    admin.upgrade([f"{prefix}{quoted}"])
    [plan] = admin.check().plans
    assert (plan.table.name, plan.status) == (name, Status.CURRENT)
    assert [revision.table.name for revision in admin.history(f"{prefix}{quoted}")] == [name, name]
    assert database.run(f"SELECT count(*) FROM {prefix}victim") == [(0,)]


def test_a_schema_with_an_odd_name_is_created_and_upgraded(postgres: Database) -> None:
    postgres.admin().upgrade(['"My ""AI"" 100%: x".sessions=agent'], to=4)
    postgres.admin().upgrade()
    [plan] = postgres.admin().check().plans
    assert (plan.table.schema, plan.status) == ('My "AI" 100%: x', Status.CURRENT)


def test_a_schema_with_a_dot_never_leads_to_the_table_of_another_schema(postgres: Database) -> None:
    name = postgres.dsn.rpartition("dbname=")[2]
    postgres.run("CREATE SCHEMA pub; CREATE TABLE pub.w (x int)")
    postgres.admin().upgrade([f'"{name}.pub".w=agent'], to=4)
    postgres.admin().upgrade()
    assert postgres.admin().check().status is Status.CURRENT
    columns = postgres.run("SELECT column_name FROM information_schema.columns WHERE table_schema = 'pub'")
    assert columns == [("x",)]


def test_a_schema_in_the_name_of_a_table_beats_the_option(postgres: Database) -> None:
    postgres.admin().upgrade(["one.sessions=agent"], to=4)
    plan = postgres.admin(schema="two").plan(["one.sessions"])
    report = postgres.admin(schema="two").upgrade(["one.sessions=agent"])
    assert (plan.plans[0].status, report.outcomes[0].plan.version) == (Status.OUTDATED, 4)


def test_a_table_that_is_named_twice_is_planned_once_with_all_its_kinds(database: Database) -> None:
    name = old_agents(database)
    [plan] = database.admin().plan([name, f"{name}=team"]).plans
    assert plan.kinds == ("agent", "team")


def test_a_schema_means_nothing_to_sqlite_and_is_refused(sqlite: Database) -> None:
    with pytest.raises(NoSchemas, match="leave out --schema ai"):
        sqlite.admin(schema="ai").upgrade(["x=agent"])
    with pytest.raises(BadTableName, match="has no schemas"):
        sqlite.admin().upgrade(["temp.x=agent"])


def test_a_name_that_the_server_would_cut_is_refused(postgres: Database) -> None:
    with pytest.raises(NameTooLong, match="80 bytes, and this database takes 63"):
        postgres.admin().upgrade([f"ai.{'ж' * 40}=agent"])


# --- executing ---------------------------------------------------------------------------------------------


def test_an_invalid_index_is_rebuilt(postgres: Database, catalog: Catalog) -> None:
    name = old_agents(postgres, version=catalog.head)
    postgres.run("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ai.ix_ai_sessions_user_id'::regclass")
    assert postgres.admin().check().status is Status.OUTDATED
    report = postgres.admin().upgrade()
    assert report.outcomes[0].statements == ("REINDEX INDEX ai.ix_ai_sessions_user_id",)
    assert postgres.admin().check([name]).status is Status.CURRENT


def test_an_index_name_that_another_table_has_is_not_taken_for_ours(database: Database) -> None:
    name = old_agents(database, version=6)
    prefix = "ix_ai_sessions" if database.dialect.has_schemas else "ix_sessions"
    elsewhere = database.table("elsewhere")
    database.run(f"CREATE TABLE {elsewhere} (id int)")
    database.run(f"CREATE INDEX {prefix}_team_session_id ON {elsewhere} (id)")
    statement = database.admin().upgrade([name]).outcomes[0].statements[-1]
    # The names of indexes are a table's own affair on MySQL.
    suffix = "" if database.dialect.name == "mysql" else "_1"
    assert re.search(rf"INDEX {prefix}_team_session_id{suffix} (ON {name} )?\(", statement)
    assert database.admin().check().status is Status.CURRENT


def test_eight_processes_that_start_together_all_succeed_and_one_of_them_upgrades(database: Database) -> None:
    name = old_agents(database)
    code = (
        "import sys; from storage_admin import StorageAdmin\n"
        "admin = StorageAdmin(sys.argv[1]); print('ready', flush=True); sys.stdin.readline()\n"
        "print(sum(outcome.changed for outcome in admin.upgrade().outcomes))"
    )
    command = [sys.executable, "-c", code, database.url]
    racers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    for racer in racers:
        assert racer.stdout
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin
        racer.stdin.write("go\n")
        racer.stdin.flush()
    answers = [racer.communicate(timeout=60) for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * 8, answers
    assert sorted(int(out) for out, _ in answers) == [0] * 7 + [1]
    assert len(database.admin().history(name)) == 1


def test_a_table_in_use_is_waited_for_and_given_up_with_5(postgres: Database) -> None:
    old_agents(postgres)
    with psycopg.connect(postgres.dsn) as reader:
        reader.execute("SELECT * FROM ai.sessions")
        with pytest.raises(UpgradeFailed, match=r"it is in use by pid \d+ .*gave up after 0.3 s") as caught:
            postgres.admin().upgrade(patience=Patience(lock_timeout_ms=50, wait_seconds=0.3))
        assert caught.value.exit_code == 5
        # The upgrade goes through as soon as the reader is done.
        waiting = threading.Thread(target=postgres.admin().upgrade)
        waiting.start()
        reader.rollback()
        waiting.join(timeout=30)
    assert postgres.admin().check().status is Status.CURRENT


def test_a_file_that_another_process_writes_is_given_up_with_5(sqlite: Database) -> None:
    old_agents(sqlite)
    import sqlite3

    writer = sqlite3.connect(sqlite.dsn, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    with pytest.raises(UpgradeFailed, match="database is locked") as caught:
        sqlite.admin().upgrade(patience=Patience(wait_seconds=0))
    writer.execute("ROLLBACK")
    writer.close()
    assert caught.value.exit_code == 5


def test_an_upgrade_that_something_undoes_is_noticed_and_rolled_back(postgres: Database) -> None:
    old_agents(postgres)
    postgres.run(
        "CREATE FUNCTION undo() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'ai.sessions'::regclass AND attname = 'team_session_id') "
        "THEN ALTER TABLE ai.sessions RENAME COLUMN team_session_id TO other; END IF; END $$;"
        "CREATE EVENT TRIGGER undo ON ddl_command_end WHEN TAG IN ('CREATE INDEX') EXECUTE FUNCTION undo()"
    )
    before = definition(postgres)
    with pytest.raises(UpgradeFailed, match="still pending: add column team_session_id") as caught:
        postgres.admin().upgrade(to=10)
    assert caught.value.exit_code == 1
    assert definition(postgres) == before


def test_a_connection_that_breaks_fails_one_table_and_the_next_gets_a_new_one(postgres: Database) -> None:
    for name in ("one", "three", "two"):
        old_agents(postgres, name)
    postgres.run(
        "CREATE FUNCTION cut() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'ai.three'::regclass AND attname = 'team_session_id') "
        "AND NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'ai.two'::regclass AND attname = 'team_session_id') "
        "THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; END $$;"
        "CREATE EVENT TRIGGER cut ON ddl_command_end WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION cut()"
    )
    with pytest.raises(UpgradeFailed, match="terminating connection") as caught:
        postgres.admin().upgrade()
    assert [bool(outcome.error) for outcome in caught.value.report.outcomes] == [False, True, False]
    postgres.run("DROP EVENT TRIGGER cut")
    assert [o.changed for o in postgres.admin().upgrade().outcomes] == [False, True, False]


def test_a_table_that_is_dropped_meanwhile_is_not_made_again(database: Database) -> None:
    from storage_admin.database import connected, dialect_of
    from storage_admin.discovery import Finder

    name = old_agents(database)
    engine = database.engine()
    with connected(engine) as connection:
        finder = Finder(connection, dialect_of(engine), database.admin().catalog, None, "test")
        [plan], _ = finder.survey(None)
        database.run(f"DROP TABLE {name}")
        with pytest.raises(TableGone, match="is gone"):
            finder.again(plan)
    engine.dispose()


def test_a_table_that_has_the_name_of_the_log_is_no_log(database: Database) -> None:
    old_agents(database)
    database.run(f"CREATE TABLE {database.table(REVISIONS)} (id int)")
    report = database.admin().upgrade()
    assert report.outcomes[0].changed
    assert [note.partition(":")[0] for note in report.notes][-1] == f"1 not recorded in {REVISIONS}"
    assert database.admin().check().status is Status.CURRENT


def test_a_role_without_rights_is_told_to_ask_the_owner_and_leaves_no_trace(postgres: Database) -> None:
    old_agents(postgres)
    postgres.run("CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA ai TO reader; GRANT SELECT ON ai.sessions TO reader")
    before = definition(postgres)
    reader = StorageAdmin(postgres.url.replace("://postgres@", "://reader@"))
    try:
        assert reader.check().status is Status.OUTDATED
        with pytest.raises(
            UpgradeFailed,
            match=r"belongs to postgres, was not changed: the role reader (?s:.)*ALTER TABLE ai.sessions ADD COLUMN",
        ):
            reader.upgrade()
        assert definition(postgres) == before
    finally:
        postgres.run("DROP OWNED BY reader; DROP ROLE reader")


# --- the log -----------------------------------------------------------------------------------------------


def test_each_upgraded_table_has_one_revision_with_the_statements_that_ran(
    database: Database, catalog: Catalog
) -> None:
    name = old_agents(database)
    report = database.admin().upgrade([name, f"{database.table('fresh')}=team"])
    first, second = database.admin().history()
    assert (str(first.table), first.from_version, first.to_version, first.baseline) == (name, 4, catalog.head, True)
    assert (second.kinds, second.from_version, second.baseline) == (("team",), None, False)
    assert [first.statements, second.statements] == [outcome.statements for outcome in report.outcomes]
    clocks = {"postgresql": "extract(epoch from now())", "sqlite": "strftime('%s', 'now')", "mysql": "unix_timestamp()"}
    stamp = float(database.run(f"SELECT {clocks[database.dialect.name]}")[0][0])
    assert first.applied_at is not None
    assert abs(first.applied_at.timestamp() - stamp) < 120


def test_a_role_that_may_not_create_the_log_upgrades_all_the_same_and_says_so_once(postgres: Database) -> None:
    old_agents(postgres)
    old_agents(postgres, "more")
    postgres.run(
        "CREATE ROLE owner LOGIN; GRANT USAGE, CREATE ON SCHEMA ai TO owner; ALTER TABLE ai.sessions OWNER TO owner;"
        "ALTER TABLE ai.more OWNER TO owner"
    )
    # An index needs CREATE on the schema; the log is refused by a trigger instead.
    postgres.run(
        "CREATE FUNCTION no_log() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN IF current_query() LIKE "
        f"'%{REVISIONS}%' THEN RAISE insufficient_privilege USING MESSAGE = 'no log here'; END IF; END $$;"
        "CREATE EVENT TRIGGER no_log ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION no_log()"
    )
    try:
        report = StorageAdmin(postgres.url.replace("://postgres@", "://owner@")).upgrade()
        assert [note for note in report.notes if REVISIONS in note] == [f"2 not recorded in {REVISIONS}: no log here"]
        assert postgres.admin().check().status is Status.CURRENT
        assert postgres.admin().history() == ()
    finally:
        postgres.run("DROP OWNED BY owner CASCADE; DROP ROLE owner")


def test_a_log_that_cannot_be_read_leaves_us_with_the_shapes(postgres: Database) -> None:
    postgres.admin().upgrade(["ai.sessions=agent"])
    postgres.run("CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA ai TO reader; GRANT SELECT ON ai.sessions TO reader")
    try:
        survey = StorageAdmin(postgres.url.replace("://postgres@", "://reader@")).check()
        assert survey.status is Status.CURRENT
        assert "going by the shapes alone" in survey.notes[0]
    finally:
        postgres.run("DROP OWNED BY reader; DROP ROLE reader")


def test_a_log_that_promises_more_than_the_shape_holds_is_contradicted(database: Database) -> None:
    name = old_agents(database)
    database.admin().upgrade()
    drop_index(database, "sessions_team_session_id", name)
    survey = database.admin().check()
    assert survey.status is Status.OUTDATED
    assert f"{name} was recorded at version" in survey.notes[0]
    database.admin().upgrade()
    assert database.admin().check().status is Status.CURRENT


# --- engines -----------------------------------------------------------------------------------------------


def test_an_engine_of_the_application_is_used_as_it_is(database: Database) -> None:
    name = old_agents(database)
    engine = database.engine()
    assert StorageAdmin(engine).upgrade().outcomes[0].changed
    assert StorageAdmin(engine).check([name]).status is Status.CURRENT
    with engine.begin() as connection:  # its own transactions still work
        connection.execute(sa.text(f"INSERT INTO {name} (session_id) VALUES ('x')"))
    assert database.run(f"SELECT count(*) FROM {name}") == [(1,)]
    engine.dispose()


def test_a_database_in_memory_lives_with_its_engine() -> None:
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    StorageAdmin(engine).upgrade(["sessions=agent"])
    assert StorageAdmin(engine).check().status is Status.CURRENT
    engine.dispose()


def test_versions_can_be_tried_in_a_folder_of_ones_own(database: Database, tmp_path: Path) -> None:
    import shutil

    from storage_admin.catalog import default_folder, load_catalog

    folder = tmp_path / "versions"
    shutil.copytree(default_folder(), folder)
    number = load_catalog().head + 1
    newest = load_catalog().definitions("team")[-1][1]
    columns = "\n".join(
        f'{c.name} = {{ type = "{c.type.value}"{", primary_key = true" if c.primary_key else ""}'
        f"{', default = ' + chr(34) + c.default + chr(34) if c.default else ''} }}"
        for c in newest.columns
    )
    indexes = "\n".join(f'{i.columns[0]} = {{ columns = ["{i.columns[0]}"] }}' for i in newest.indexes)
    (folder / f"{number:03}_mood.toml").write_text(
        f'summary = "Teams have a mood."\nreleased = "agno 9"\n[team.columns]\n{columns}\n'
        f'mood = {{ type = "string" }}\n[team.indexes]\n{indexes}\nmood = {{ columns = ["mood"] }}\n'
    )
    newer = load_catalog(folder)
    database.admin().upgrade([f"{database.table('sessions')}=agent,team"])
    [plan] = StorageAdmin(database.url, catalog=newer).inspect().plans
    assert (plan.status, plan.version, plan.target_version) == (Status.OUTDATED, number - 1, number)
    StorageAdmin(database.url, catalog=newer).upgrade()
    assert StorageAdmin(database.url, catalog=newer).check().status is Status.CURRENT
    assert database.admin().check().status is Status.AHEAD
