"""What the commands print and what they exit with."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
import yaml

from storage_admin.catalog import load_catalog
from storage_admin.cli import cli
from storage_admin.schema import ColumnType
from tests.cli.conftest import Result
from tests.conftest import Database

Call = Callable[..., Result]
HEAD = load_catalog().head


@pytest.fixture
def old(database: Database) -> Database:
    database.admin().upgrade([f"{database.table('sessions')}=agent"], to=4)
    return database


def test_the_way_of_a_table_through_all_commands(call: Call, old: Database) -> None:
    name, url = old.table("sessions"), ["--db-url", old.url]
    assert call("check", *url).code == 2
    assert f"{name}" in call("inspect", *url).out
    planned = call("plan", *url)
    assert planned.code == 0
    statements = re.findall(r"^  (.*);$", planned.out, flags=re.MULTILINE)
    upgraded = call("upgrade", "-o", "json", *url)
    assert upgraded.code == 0
    assert upgraded.json["tables"][0]["statements"] == statements
    assert upgraded.json["changed"] is True
    again = call("upgrade", "-o", "json", *url)
    assert (again.code, again.json["changed"]) == (0, False)
    assert call("check", *url) == Result(0, "", "1 table: 1 current\n")
    assert call("history", name, "-o", "json", *url).json["revisions"][-1]["statements"] == statements


def test_inspect_json_is_as_the_contract_shows_it(call: Call, old: Database) -> None:
    old.run(f"ALTER TABLE {old.table('sessions')} ADD COLUMN notes text")
    document = call("inspect", "-o", "json", "--db-url", old.url).json
    assert document["format"] == 1
    assert document["head"] == HEAD
    assert set(document["database"]) == {"dialect", "server_version", "url"}
    [table] = document["tables"]
    assert (table["name"], table["kinds"], table["status"]) == ("sessions", ["agent"], "outdated")
    assert (table["version"], table["released"], table["target_version"]) == (4, "agno 0.0.2", HEAD)
    string = old.dialect.types[ColumnType.STRING].sql
    assert {"change": "add_column", "column": "team_session_id", "type": string} in table["changes"]
    prefix = "ix_ai_sessions" if old.dialect.has_schemas else "ix_sessions"
    index = {"change": "create_index", "columns": ["team_session_id"], "name": f"{prefix}_team_session_id"}
    assert index in table["changes"]
    assert table["drifts"] == []
    assert [extra["column"] for extra in table["extras"] if "column" in extra] == ["notes"]
    assert table["bytes"] > 0


def test_yaml_says_what_json_says(call: Call, old: Database) -> None:
    as_json = call("check", "-o", "json", "--db-url", old.url)
    as_yaml = call("check", "-o", "yaml", "--db-url", old.url)
    assert yaml.safe_load(as_yaml.out) == as_json.json
    assert as_json.code == as_yaml.code == 2


def test_a_dry_run_changes_nothing(call: Call, old: Database) -> None:
    result = call("upgrade", "--dry-run", "--db-url", old.url)
    assert result.code == 0
    assert "ADD COLUMN team_session_id" in result.out
    assert "Nothing was changed." in result.err
    assert call("check", "--db-url", old.url).code == 2


def test_plan_sql_is_pure_and_empty_when_nothing_is_to_be_done(call: Call, old: Database) -> None:
    script = call("plan", "--sql", "--db-url", old.url)
    lines = [line for line in script.out.splitlines() if line]
    assert all(line.startswith("--") or line.endswith(";") for line in lines)
    assert lines[-1] == "COMMIT;" or not old.dialect.begin
    old.admin().upgrade()
    assert call("plan", "--sql", "--db-url", old.url).out == ""


@pytest.mark.parametrize("dialect", ["postgresql", "sqlite"])
def test_plan_sql_without_a_database_equals_the_one_with_it(
    call: Call, request: pytest.FixtureRequest, dialect: str
) -> None:
    database: Database = request.getfixturevalue({"postgresql": "postgres", "sqlite": "sqlite"}[dialect])
    name = "ai.sessions" if dialect == "postgresql" else "sessions"
    offline = call("plan", "--sql", "--dialect", dialect, "--from", "6", "--to", "10", f"{name}=agent,team")
    assert offline.code == 0
    database.admin().upgrade([f"{name}=agent,team"], to=6)
    online = call("plan", "--sql", "--to", "10", "--db-url", database.url)
    assert offline.out.splitlines()[2:] == online.out.splitlines()[2:]


def test_plan_sql_without_a_database_creates_a_table_that_upgrade_finds_current(call: Call, sqlite: Database) -> None:
    script = call("plan", "--sql", "--dialect", "sqlite", "sessions=workflow_v2").out
    sqlite.run(script)
    assert call("check", "--db-url", sqlite.url).code == 0


def test_plan_without_a_database_needs_the_kind(call: Call) -> None:
    result = call("plan", "--sql", "--dialect", "postgresql", "--from", "1", "sessions")
    assert result.code == 64
    assert "sessions=KIND" in result.err


@pytest.mark.parametrize("command", ["check", "plan", "upgrade"])
def test_drift_is_said_in_words_and_exits_with_3(call: Call, sqlite: Database, command: str) -> None:
    sqlite.admin().upgrade(["sessions=agent"])
    sqlite.run("DROP INDEX ix_sessions_user_id")
    sqlite.run("ALTER TABLE sessions ADD COLUMN tenant TEXT NOT NULL DEFAULT 'x'")
    assert call(command, "--db-url", sqlite.url).code in (0, 2)
    sqlite.run("CREATE TABLE other AS SELECT * FROM sessions")
    result = call(command, "--db-url", sqlite.url)
    assert result.code == 3
    assert "the primary key (session_id) is missing" in result.out + result.err


@pytest.mark.parametrize("command", ["check", "plan", "upgrade"])
def test_a_database_ahead_of_us_exits_with_4(call: Call, sqlite: Database, command: str) -> None:
    sqlite.admin().upgrade(["sessions=agent"])
    sqlite.run(f"UPDATE storage_admin_revisions SET to_version = {HEAD + 1}")
    result = call(command, "--db-url", sqlite.url)
    assert result.code == 4
    assert str(HEAD + 1) in result.out + result.err


def test_some_of_several_tables_failed_exits_with_6(call: Call, postgres: Database) -> None:
    postgres.admin().upgrade(["ai.good=agent", "ai.theirs=agent"], to=4)
    postgres.run("CREATE ROLE app LOGIN; GRANT ALL ON SCHEMA ai TO app; ALTER TABLE ai.good OWNER TO app")
    postgres.run("GRANT SELECT ON ai.theirs TO app; ALTER TABLE ai.storage_admin_revisions OWNER TO app")
    try:
        result = call("upgrade", "-o", "json", "--db-url", postgres.url.replace("://postgres@", "://app@"))
        assert result.code == 6
        assert [t["result"] for t in result.json["tables"]] == ["upgraded", "failed"]
        assert (
            "which belongs to postgres, was not changed: the role app may not do that"
            in result.json["tables"][1]["error"]
        )
    finally:
        postgres.run("DROP OWNED BY app CASCADE; DROP ROLE app")


def test_the_url_comes_from_the_option_then_the_environment_then_a_file(
    call: Call, old: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = "sqlite:///nowhere.db"
    (tmp_path / "pyproject.toml").write_text(f'[tool.storage-admin]\ndb-url = "{old.url}"\n')
    assert call("check").code == 2
    monkeypatch.setenv("DATABASE_URL", nowhere)
    assert "There is no file nowhere.db" in call("check").err
    monkeypatch.setenv("STORAGE_ADMIN_DB_URL", old.url)
    assert call("check").code == 2
    assert "There is no file nowhere.db" in call("check", "--db-url", nowhere).err
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.delenv("STORAGE_ADMIN_DB_URL")
    (tmp_path / "pyproject.toml").unlink()
    (tmp_path / "storage-admin.toml").write_text(f'db-url = "{old.url}"\nschema = "elsewhere"\n')
    assert "schema elsewhere" in call("check").err


def test_colours_go_to_terminals_and_to_those_who_ask(
    call: Call, old: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "\x1b[" not in call("check", "--db-url", old.url).out
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[33moutdated" in call("check", "--db-url", old.url).out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in call("check", "--db-url", old.url).out


def test_versions_show_the_catalogue(call: Call) -> None:
    assert call("versions").out.count("\n") == HEAD + 2
    assert "team (changed)" in call("versions", "6").out
    assert [v["version"] for v in call("versions", "-o", "json").json["versions"]] == list(range(1, HEAD + 1))
    assert call("versions", "--verify").code == 0


def test_versions_verify_names_a_changed_file(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    from storage_admin.catalog import default_folder

    shutil.copytree(default_folder(), tmp_path / "versions")
    file = tmp_path / "versions" / "001_agent.toml"
    file.write_text(file.read_text() + "\n# a comment\n")
    monkeypatch.setenv("STORAGE_ADMIN_VERSIONS", str(tmp_path / "versions"))
    result = call("versions", "--verify")
    assert result.code == 1
    assert "001_agent.toml" in result.err


def test_the_demo_ends_in_a_current_database_and_keeps_every_byte(call: Call) -> None:
    result = call("demo", "demo.db")
    assert result.code == 0
    assert "4 tables: 4 outdated" in result.err
    assert result.out.count("every stored byte as before") == 4
    assert call("check", "--db-url", "sqlite:///demo.db").code == 0
    assert call("demo", "demo.db").code == 64


def test_the_demo_can_leave_the_upgrade_to_its_reader(call: Call) -> None:
    assert call("demo", "--no-upgrade", "old.db").code == 0
    assert call("check", "--db-url", "sqlite:///old.db").code == 2


def test_history_of_a_database_without_a_log_is_empty(call: Call, old: Database) -> None:
    old.run(f"DROP TABLE {old.table('storage_admin_revisions')}")
    assert call("history", "-o", "json", "--db-url", old.url).json == {"format": 1, "revisions": []}
    assert "No upgrade was recorded" in call("history", "--db-url", old.url).err


def test_the_program_runs_as_a_module_and_as_a_script() -> None:
    for command in ([sys.executable, "-m", "storage_admin"], [str(Path(sys.executable).parent / "storage-admin")]):
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
        assert re.fullmatch(r"storage-admin \d+\.\d+\.\d+\n", done.stdout)
        wrong = subprocess.run([*command, "chekc"], capture_output=True, text=True, check=False)
        assert (wrong.returncode, wrong.stdout) == (64, "")
        assert "No such command 'chekc'" in wrong.stderr


def test_json_goes_to_stdout_and_talk_to_stderr(call: Call, old: Database) -> None:
    for command in ("inspect", "plan", "check", "upgrade", "history"):
        result = call(command, "-o", "json", "--db-url", old.url)
        assert isinstance(json.loads(result.out), dict)


@pytest.mark.parametrize("width", [80, 200])
def test_a_table_fits_the_terminal_and_a_pipe_gets_all_of_it(sqlite: Database, width: int) -> None:
    name = "sessions_of_a_tenant_with_a_long_name"
    sqlite.admin().upgrade([f"{name}=agent,team"], to=6)
    program = [sys.executable, "-m", "storage_admin"]
    for command in (["inspect"], ["check"], ["sessions", "stats"]):
        arguments = [*program, *command, "--db-url", sqlite.url]
        piped = subprocess.run(arguments, capture_output=True, text=True, check=False).stdout
        shown = on_a_terminal(arguments, width)
        rows = [line for line in shown.splitlines() if line]
        assert len(rows) == len([line for line in piped.splitlines() if line])
        assert max(map(len, rows)) <= width
        assert ("…" in shown) == (width < max(map(len, piped.splitlines())))
        assert "…" not in piped


def test_what_a_version_changed_goes_on_in_a_next_line(call: Call) -> None:
    narrow = on_a_terminal([sys.executable, "-m", "storage_admin", "versions"], 80)
    assert max(map(len, narrow.splitlines())) <= 80
    assert sorted(narrow.replace("-", "").split()) == sorted(call("versions").out.replace("-", "").split())


def on_a_terminal(arguments: list[str], width: int) -> str:
    """What a program prints on a terminal, without colours."""
    primary, secondary = pty.openpty()
    environment = os.environ | {"COLUMNS": str(width), "NO_COLOR": "1"}
    with subprocess.Popen(arguments, stdout=secondary, stderr=subprocess.DEVNULL, env=environment):
        os.close(secondary)
        said = b""
        try:
            while part := os.read(primary, 65536):
                said += part
        except OSError:  # Linux's way to say that the program has ended
            pass
    os.close(primary)
    return click.unstyle(said.decode())


def test_no_first_sentence_is_cut_in_the_list_of_commands(call: Call) -> None:
    listed = call("--help").out.partition("\nCommands:\n")[2].partition("\n\n")[0]
    assert len(listed.splitlines()) == len(cli.commands)
    assert "..." not in listed
