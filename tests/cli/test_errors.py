"""Every mistake that a person makes is one sentence with a way out, one exit code, no traceback and no password."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from storage_admin.naming import TableRef
from tests.cli.conftest import Result
from tests.conftest import Database

PASSWORD = "CANARY-p4ss"
COMMANDS = ["upgrade", "plan", "inspect", "check", "history"]
every_command = pytest.mark.parametrize("command", COMMANDS)
Call = Callable[..., Result]


def refused(result: Result, code: int, *words: str) -> None:
    assert result.code == code, result
    assert result.out == ""
    assert result.err.startswith(("Error: ", "Usage: ")), result.err
    for word in words:
        assert word in result.err
    assert "Traceback" not in result.err
    assert PASSWORD not in result.err


@pytest.fixture
def locked(postgresql_proc: Any, postgres: Database) -> Iterator[str]:
    """The URL of a role that needs a password, with a wrong one."""
    hba = Path(postgresql_proc.datadir) / "pg_hba.conf"
    hba.write_text(f"host all locked 127.0.0.1/32 scram-sha-256\n{hba.read_text()}")
    postgres.run("CREATE ROLE locked LOGIN PASSWORD 'another'; SELECT pg_reload_conf()")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:  # the server rereads the file when it gets round to it
        try:
            psycopg.connect(f"{postgres.dsn.replace('user=postgres', 'user=locked')} password=x").close()
        except psycopg.OperationalError:
            break
    yield postgres.url.replace("://postgres@", f"://locked:{PASSWORD}@")
    postgres.run("DROP ROLE locked")


@every_command
def test_a_wrong_password(call: Call, locked: str, command: str) -> None:
    result = call(command, "--db-url", locked)
    refused(result, 1, "password authentication failed", "Check user and password", "locked:***@")


def test_debug_shows_where_and_still_hides_the_password(call: Call, locked: str) -> None:
    result = call("check", "--debug", "--db-url", locked)
    assert result.code == 1
    assert "Traceback" in result.err
    assert PASSWORD not in result.err


@every_command
def test_an_unreachable_host(call: Call, command: str) -> None:
    url = f"postgresql://u:{PASSWORD}@127.0.0.1:1/db"
    refused(call(command, "--db-url", url), 1, "Cannot connect to", "onnection refused", "Check host and port")


def test_a_host_that_does_not_exist(call: Call) -> None:
    url = f"postgresql://u:{PASSWORD}@no-such-host.invalid/db"
    refused(call("check", "--db-url", url), 1, "Cannot connect to", "Check the name of the host")


def test_a_database_that_does_not_exist(call: Call, postgres: Database) -> None:
    refused(call("check", "--db-url", postgres.url + "_not"), 1, "does not exist", "Check the name of the database")


@every_command
def test_a_mistyped_path_creates_no_file(call: Call, tmp_path: Path, command: str) -> None:
    path = tmp_path / "typo.db"
    refused(call(command, "--db-url", f"sqlite:///{path}"), 1, f"There is no file {path}", f"touch {path}")
    assert not path.exists()


@every_command
def test_a_file_that_is_no_database(call: Call, tmp_path: Path, command: str) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database " * 100)
    refused(call(command, "--db-url", f"sqlite:///{path}"), 1, f"{path} is not a SQLite database")


def test_a_folder_instead_of_a_file(call: Call, tmp_path: Path) -> None:
    refused(call("check", "--db-url", f"sqlite:///{tmp_path}"), 1, f"{tmp_path} is not a SQLite database")


@pytest.mark.parametrize("command", ["upgrade", "plan", "inspect", "check"])
def test_a_view(call: Call, database: Database, command: str) -> None:
    database.run(f"CREATE VIEW {database.table('v')} AS SELECT 1 AS session_id")
    name = database.table("v")
    refused(call(command, name, "--db-url", database.url), 1, f"{name} is a view", "only an ordinary table")


@pytest.mark.parametrize("command", ["upgrade", "plan", "inspect", "check"])
def test_an_unknown_kind(call: Call, sqlite: Database, command: str) -> None:
    result = call(command, "sessions=agnet", "--db-url", sqlite.url)
    refused(result, 64, "'agnet' is no kind of session", "Did you mean agent?")


def test_a_name_that_needs_quotes(call: Call, sqlite: Database) -> None:
    refused(call("inspect", "a.b.c", "--db-url", sqlite.url), 64, "'a.b.c' does not name a table", "double quotes")
    refused(call("inspect", "a.b", "--db-url", sqlite.url), 64, "SQLite has no schemas", '"a.b"')


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        f"postgresql://u:{PASSWORD}@x@h/d",
        f"postgresql://u:12/{PASSWORD}@h/d",
        f"postgresql://u:{PASSWORD}@h:port/d",
    ],
)
def test_a_url_that_cannot_be_read(call: Call, url: str) -> None:
    refused(call("check", "--db-url", url), 64, "The database URL cannot be read", "postgresql://user:password@host")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_a_database_that_would_be_gone_at_once(call: Call, url: str) -> None:
    refused(call("upgrade", "x=agent", "--db-url", url), 64, "a path is missing")


def test_a_schema_without_a_database_where_there_are_none(call: Call) -> None:
    offline = ["plan", "--sql", "--dialect", "sqlite"]
    refused(call(*offline, "a.b=agent"), 64, "SQLite has no schemas")
    refused(call(*offline, "--schema", "a", "b=agent"), 64, "SQLite has no schemas")
    refused(call("plan", "--sql", "--dialect", "postgresql", f"{'x' * 70}=agent"), 1, "has 70 bytes")


def test_only_a_name_that_is_close_is_suggested(call: Call, postgres: Database) -> None:
    postgres.admin().upgrade(["ai.flow_9=agent", "ai.agent_sessions=agent"])
    for typed in ("ai.nope", "nope", "public.nope"):
        assert "Did you mean" not in call("inspect", typed, "--db-url", postgres.url).err
    close = {"ai.flow_8": "ai.flow_9", "agent_session": "ai.agent_sessions", "aii.flow_9": "ai.flow_9"}
    for typed, meant in close.items():
        assert f"Did you mean {meant}?" in call("inspect", typed, "--db-url", postgres.url).err


def test_a_history_of_a_table_that_is_not_there(call: Call, sqlite: Database) -> None:
    sqlite.admin().upgrade(["sessions=agent"])
    refused(
        call("history", "session", "--db-url", sqlite.url), 1, "There is no table session", "Did you mean sessions?"
    )


def test_a_file_that_another_process_keeps_to_itself(call: Call, sqlite: Database) -> None:
    sqlite.admin().upgrade(["sessions=agent"], to=4)
    with closing(sqlite3.connect(sqlite.dsn, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        refused(call("upgrade", "--wait", "0", "--db-url", sqlite.url), 5, "database is locked", "try again later")


def test_an_empty_url_is_not_another_one(call: Call, sqlite: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", sqlite.url)
    refused(call("check", "--db-url", ""), 64, "No database named: --db-url is empty", "a variable that is not set")
    assert "is empty" not in call("check", "--target", "no").err


def test_a_url_of_java_is_told_what_to_leave_away(call: Call) -> None:
    for url in (f"jdbc:postgresql://h:5432/d?user=u&password={PASSWORD}", f"JDBC:mysql://u:{PASSWORD}@h/d"):
        refused(call("check", "--db-url", url), 64, "leave jdbc: away", "postgresql://user:password@host")


def test_a_product_that_is_not_supported(call: Call) -> None:
    refused(call("check", "--db-url", "mssql://u@h/d"), 64, "mssql is not supported")


@pytest.mark.parametrize("command", ["upgrade", "plan", "inspect", "check"])
def test_no_tables_found(call: Call, database: Database, command: str) -> None:
    refused(call(command, "--db-url", database.url), 1, "No session tables in", "=agent")


def test_no_database_named(call: Call) -> None:
    refused(call("check"), 64, "No database named", "STORAGE_ADMIN_DB_URL")


@pytest.mark.parametrize(
    "arguments",
    [
        ["plan", "--sql", "--dialect", "sqlite", "--from", "5", "--to", "2", "x=agent"],
        ["versions", "3", "--verify"],
        ["chekc"],
        ["check", "--dburl", "x"],
        ["upgrade", "--to", "ten"],
        ["plan", "--from", "1"],
        ["check", "-o", "xml"],
    ],
)
def test_a_typo_in_a_word_of_the_command_line(call: Call, arguments: list[str]) -> None:
    refused(call(*arguments), 64, "Usage: storage-admin")


def test_a_version_that_does_not_exist(call: Call, sqlite: Database) -> None:
    refused(call("upgrade", "x=agent", "--to", "99", "--db-url", sqlite.url), 64, "There is no version 99")
    refused(call("upgrade", "x=team", "--to", "3", "--db-url", sqlite.url), 64, "it appears with version 6")
    refused(call("versions", "0"), 64, "There is no version 0")


def test_a_configuration_file_with_a_mistake(call: Call, tmp_path: Path) -> None:
    (tmp_path / "storage-admin.toml").write_text("db-url = [")
    refused(call("check"), 64, "storage-admin.toml cannot be read")
    (tmp_path / "storage-admin.toml").write_text('db_url = "x"')
    refused(call("check"), 64, "storage-admin.toml: db_url is no setting", "db-url")
    (tmp_path / "storage-admin.toml").write_text("db-url = 1")
    refused(call("check"), 64, "storage-admin.toml: db-url must be a text")


def test_a_command_that_is_proposed_can_be_pasted_whatever_a_name_holds(call: Call, sqlite: Database) -> None:
    sqlite.admin().upgrade([TableRef("$(id) or so", None, ("workflow",))], to=4)
    for arguments in (["check", "$(id)"], ["check", "-o", "junit"], ["inspect"]):
        result = call(*arguments, "--db-url", sqlite.url)
        said = result.out + result.err
        assert said.count("storage-admin upgrade ") == said.count("storage-admin upgrade '$(id)") > 0


@pytest.mark.parametrize(
    "arguments", [["check"], ["versions"], ["report"], ["check", "--target"], ["upgrade", "--jobs"], ["init"]]
)
@pytest.mark.parametrize("talk", [[], ["--log-format", "json"]])
def test_a_url_in_the_wrong_place_shows_no_password(call: Call, arguments: list[str], talk: list[str]) -> None:
    Path("storage-admin.toml").write_text("db-url = 'sqlite:///file.db'\n")
    Path("file.db").touch()
    result = call(*talk, *arguments, f"postgresql://ai:{PASSWORD}@host/ai")
    assert result.code in (1, 64)
    assert "ai:***@host" in result.err
    assert PASSWORD not in result.out + result.err


def test_a_file_that_may_not_be_written(sqlite: Database, tmp_path: Path) -> None:
    sqlite.admin().upgrade(["sessions=agent"], to=4)
    path, other = Path(sqlite.dsn), tmp_path / "other.db"
    other.write_bytes(path.read_bytes())
    # Root may write everything, so it becomes somebody else, once all modules are loaded: their folder may be private.
    code = (
        "import contextlib, io, os, sys\n"
        "from storage_admin.cli import run\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):\n"
        "    run(['upgrade', '--db-url', sys.argv[2]])\n"
        "if os.getuid() == 0: os.setgid(65534); os.setuid(65534)\n"
        "sys.exit(run(['upgrade', '--db-url', sys.argv[1]]))\n"
    )
    path.chmod(0o444)
    for folder in path.parents:
        if folder.stat().st_uid == os.getuid() and folder.is_relative_to(tempfile.gettempdir()):
            folder.chmod(folder.stat().st_mode | 0o555)
    command = [sys.executable, "-c", code, sqlite.url, f"sqlite:///{other}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "the file may not be written" in done.stderr
    assert "Give this user the right to write" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unexpected_failure_is_a_sentence_too(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("storage_admin.cli.versions.catalog", broken)
    refused(call("versions"), 1, "unexpected RuntimeError: boom", "--debug")


def test_a_reader_that_has_enough_is_no_error(sqlite: Database) -> None:
    sqlite.admin().upgrade(["sessions=agent"])
    code = f"{sys.executable} -m storage_admin versions -o json | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.split()[-1] == "0"


def test_a_damaged_file_is_named(call: Call, sqlite: Database) -> None:
    sqlite.admin().upgrade(["sessions=agent"])
    with Path(sqlite.dsn).open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 1000)
    result = call("check", "--db-url", sqlite.url)
    refused(result, 1, "malformed")
    with pytest.raises(sqlite3.DatabaseError):
        sqlite.run("SELECT * FROM sqlite_master")


@pytest.mark.parametrize(
    "words",
    [
        ["upgrade", "--wait", "nan"],
        ["wait", "--timeout", "nan"],
        ["wait", "--interval", "inf"],
        ["doctor", "--long", "1e300"],
        ["sessions", "prune", "--older-than", "90d", "--pause", "nan"],
    ],
)
def test_a_length_of_time_that_is_none_is_refused(call: Call, sqlite: Database, words: list[str]) -> None:
    refused(call(*words, "--db-url", sqlite.url), 64, f"Invalid value for '{words[-2]}'", "is no length of time")


def test_an_argument_that_is_no_text_is_refused(call: Call, sqlite: Database) -> None:
    word = b"caf\xe9".decode(errors="surrogateescape")  # as Python has it in sys.argv
    refused(call("check", word, "--db-url", sqlite.url), 64, "The argument caf\\xe9 is no UTF-8.")
    refused(call("inspect", "--db-url", f"sqlite:///{word}.db"), 64, "caf\\xe9.db is no UTF-8.")
