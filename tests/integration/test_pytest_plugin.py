"""The plugin for pytest, in a project of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy.dialects.mysql
import sqlalchemy.dialects.postgresql

from storage_admin import SqliteStorage, executor, render
from storage_admin.integrations import twins
from storage_admin.integrations.old_tables import OldTable, OldTables
from storage_admin.sessions import Sessions
from storage_admin.sessions.conversation import conversation
from storage_admin.storage.sessions import OURS
from tests.conftest import Database
from tests.integration.tables import definition, old_agents

pytest_plugins = ["pytester"]
# A run within this process takes what it has imported away again, which SQLAlchemy does not take twice.
IMPORTED = (sqlalchemy.dialects, executor, render, twins)

# What is installed beside us; importing Hypothesis takes ten times as long as all else.
OTHERS = [f"-p no:{name}" for name in ("hypothesispytest", "anyio", "xdist", "cacheprovider")]


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest(*" ".join(OTHERS).split(), *arguments)


USE = """
def test_an_old_table(agno_tables):
    table = agno_tables("1.1.10", kind="agent", sessions=2{more})
    assert table.version == 4
    assert [row["session_id"] for row in table.rows()] == ["session-1", "session-2"]
    [plan] = table.admin.check().plans
    assert plan.status.value == "outdated"
    table.admin.upgrade()
    assert table.admin.check().status.value == "current"
    assert len(table.rows()) == 2

def test_the_next_test_finds_nothing_of_it(agno_tables):
    assert agno_tables("phidata 2.5.21", kind="workflow"{more}).rows() == []
    assert agno_tables(4, kind=["agent"], sessions=1{more}).version == 4
"""
# What pytest-postgresql gives: a connection to a fresh database.
POSTGRESQL = """
import psycopg
import pytest

@pytest.fixture
def postgresql():
    with psycopg.connect({dsn!r}) as connection:
        yield connection
"""


@pytest.fixture(params=["postgres", "sqlite"])
def database(request: pytest.FixtureRequest) -> Database:
    found: Database = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize("more", ["", ", on='memory'"])
def test_an_old_table_is_made_in_a_file_or_in_memory(pytester: pytest.Pytester, more: str) -> None:
    pytester.makepyfile(USE.format(more=more))
    run(pytester, "-W", "error").assert_outcomes(passed=2)


def test_an_old_table_in_a_configured_database_is_removed_at_the_end_and_nothing_else(
    pytester: pytest.Pytester, database: Database
) -> None:
    before = definition(database)
    pytester.makepyfile(USE.format(more=", on='configured'"))
    pytester.makeini(f"[pytest]\nstorage_admin_url = {database.url}\n")
    run(pytester, "-W", "error").assert_outcomes(passed=2)
    assert definition(database) == before
    if database.dialect.has_schemas:
        assert database.run("SELECT count(*) FROM pg_namespace WHERE nspname = 'ai'") == [(0,)]


def test_on_mariadb_a_table_and_its_copies_come_and_go(mariadb: Database, tmp_path: Path) -> None:
    databases = mariadb.run("SELECT schema_name FROM information_schema.schemata")
    with OldTables(lambda: tmp_path, lambda: "", mariadb.url) as tables:
        table = tables("1.8.4", kind=["agent", "team"], sessions=2, on="configured")
        mariadb.run("ALTER TABLE ai.agent_sessions DROP COLUMN team_id")
        for check in (twins.upgrade_is_idempotent, twins.fresh_equals_upgraded):
            check(mariadb.url, "ai.agent_sessions=agent,team")
        with pytest.raises(AssertionError, match="add column team_id"):
            twins.is_current(mariadb.url, table.argument)
        assert len(table.rows()) == 2
    assert mariadb.run("SELECT schema_name FROM information_schema.schemata") == databases


def test_a_table_and_a_log_that_are_there_are_left_as_they_are(pytester: pytest.Pytester, postgres: Database) -> None:
    postgres.admin().upgrade(["ai.agent_sessions=agent"])
    before = postgres.run("SELECT * FROM ai.storage_admin_revisions"), definition(postgres)
    pytester.makepyfile(USE.format(more=", on='configured'"))
    result = run(pytester, "--storage-admin-url", postgres.url)
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*There is a table ai.agent_sessions in * already, and it is not replaced*"])
    assert (postgres.run("SELECT * FROM ai.storage_admin_revisions"), definition(postgres)) == before


def test_an_old_table_is_made_on_the_server_of_the_fixture_postgresql(
    pytester: pytest.Pytester, postgres: Database
) -> None:
    pytester.makepyfile(USE.format(more=", on='postgresql'").partition("def test_the_next")[0])
    pytester.makeconftest(POSTGRESQL.format(dsn=postgres.dsn))
    result = run(pytester, "-W", "error")
    result.assert_outcomes(passed=1)
    assert postgres.run("SELECT count(*) FROM ai.agent_sessions") == [(2,)]


def test_what_cannot_be_made_is_said_with_a_suggestion(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("release, kind, on", [
            ("2.5.21", "agent", "sqlite"), ("1.1.10", "teem", "sqlite"), ("1.1.10", "team", "memory"),
            ("1.1.10", "agent", "oracle"), ("1.1.10", "agent", "postgresql"), ("1.1.10", "agent", "configured"),
        ])
        def test_nothing(agno_tables, release, kind, on):
            agno_tables(release, kind=kind, on=on)
        """
    )
    result = run(pytester)
    result.assert_outcomes(failed=6)
    for line in (
        "*Did you mean 'phidata 2.5.21'?",
        "*Did you mean team?",
        "*1.1.10 made no tables for team; the first release that did is agno 1.1.14.",
        "*that is no URL*",
        "*there is no storage_admin_url in the settings of pytest*",
        "*there is no fixture postgresql; it comes with pytest-postgresql*",
    ):
        result.stdout.fnmatch_lines([line])


@pytest.mark.parametrize("kind", OURS)
def test_sample_sessions_are_read_by_the_storage_and_have_a_conversation(kind: Any, tmp_path: Path) -> None:
    with OldTables(lambda: tmp_path / "x.db", lambda: "") as tables:
        table: OldTable = tables("1.8.4", kind=[kind], sessions=3)
        storage = SqliteStorage(table.name.name, db_url=table.url, mode=kind)
        assert [session.session_id for session in storage.get_all_sessions("user-2")] == ["session-2"]
        [found] = Sessions(table.admin).show("session-2")
        assert [message.content for message in conversation(found)][-1].startswith("Red ones 15 minutes")
        storage.db_engine.dispose()


def test_the_tables_of_an_application_are_tested_each_in_three_tests(
    pytester: pytest.Pytester, database: Database
) -> None:
    old_agents(database, "old")
    database.admin().upgrade([f"{database.table('new')}=team,workflow"])
    database.run(f"ALTER TABLE {database.table('new')} ADD COLUMN notes varchar(20)")
    before = definition(database)
    old, new = (database.table(name) for name in ("old", "new"))
    result = run(pytester, "--storage-admin", "--storage-admin-url", database.url, "-v", "-W", "error")
    result.assert_outcomes(passed=5, failed=1)
    result.stdout.fnmatch_lines_random(
        [
            f"storage-admin::{old} is current FAILED*",
            f"storage-admin::{old}: an upgrade is idempotent PASSED*",
            f"storage-admin::{old}: fresh equals upgraded PASSED*",
            f"storage-admin::{new} is current PASSED*",
            f"{old} is outdated: *add column team_session_id*",
        ]
    )
    assert definition(database) == before
    assert not [line for line in result.outlines if "twins.py" in line]


def test_only_named_tables_are_tested_beside_the_application_s_own_tests(
    pytester: pytest.Pytester, sqlite: Database
) -> None:
    for name in ("one", "two"):
        sqlite.admin().upgrade([f"{name}=agent"])
    sqlite.run("CREATE TABLE broken AS SELECT * FROM one")
    pytester.makepyfile("def test_mine(): pass")
    tables = "\n    two\n    broken\n    gone"
    pytester.makeini(f"[pytest]\nstorage_admin_url = {sqlite.url}\nstorage_admin_tables ={tables}\n")
    result = run(pytester, "--storage-admin")
    result.assert_outcomes(passed=1 + 3, failed=3 + 3)
    result.stdout.fnmatch_lines(["*broken was not changed*primary key (session_id) is missing*", "*no table gone in*"])
    run(pytester, "--storage-admin", "-k", "two and current").assert_outcomes(passed=1, deselected=9)
    run(pytester).assert_outcomes(passed=1)


@pytest.mark.parametrize("url", ["sqlite:///sessions.db", "sqlite:///file:sessions.db?uri=true"])
def test_a_relative_path_counts_from_the_folder_of_the_settings(
    pytester: pytest.Pytester, sqlite: Database, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    sqlite.admin().upgrade(["sessions=agent"])
    Path(sqlite.dsn).rename(pytester.path / "sessions.db")
    pytester.makeini(f"[pytest]\nstorage_admin_url = {url}\n")
    monkeypatch.chdir(pytester.mkdir("inner"))
    run(pytester, "--storage-admin", "-k", "current").assert_outcomes(passed=1, deselected=2)


def test_a_table_that_no_upgrade_makes_new_is_found(pytester: pytest.Pytester, postgres: Database) -> None:
    postgres.admin().upgrade(["ai.sessions=agent"])
    postgres.run("ALTER TABLE ai.sessions ALTER created_at TYPE integer")
    result = run(pytester, "--storage-admin", "--storage-admin-url", postgres.url)
    result.assert_outcomes(failed=3)


def test_without_a_database_pytest_says_what_is_needed(pytester: pytest.Pytester, sqlite: Database) -> None:
    nothing = run(pytester, "--storage-admin")
    assert nothing.ret == pytest.ExitCode.USAGE_ERROR
    nothing.stderr.fnmatch_lines(["*needs a database: storage_admin_url*"])
    empty = run(pytester, "--storage-admin", "--storage-admin-url", sqlite.url)
    assert empty.ret == pytest.ExitCode.USAGE_ERROR
    empty.stderr.fnmatch_lines(["*No session tables in*"])


def test_the_plugin_is_found_where_storage_admin_is_installed_and_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import sys\n\ndef test_it(request):\n    assert request.config.pluginmanager.has_plugin('storage_admin')\n"
        "    assert 'storage_admin' in sys.modules\n"
        "    assert not {'sqlalchemy', 'alembic', 'msgspec', 'click', 'psycopg'} & set(sys.modules)\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", *" ".join(OTHERS).split(), "test_it.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, "1 passed" in done.stdout) == (0, True), done.stdout
