"""How a command speaks on stderr: quietly, at length, or as records; stdout is the same."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from tests.cli.conftest import Result
from tests.conftest import Database

Call = Callable[..., Result]
JSON = ("--log-format", "json")


def records(result: Result) -> list[dict[str, Any]]:
    """Each line of stderr, which must be an object with the four keys."""
    lines = [json.loads(line) for line in result.err.splitlines()]
    for line in lines:
        assert list(line)[:4] == ["time", "level", "event", "message"]
        assert datetime.fromisoformat(line["time"].replace("Z", "+00:00")).tzinfo is not None
        assert line["level"] in ("debug", "info", "warning", "error")
        assert "\x1b" not in line["message"]
    return lines


@pytest.fixture
def old(database: Database) -> Database:
    database.admin().upgrade([f"{database.table('sessions')}=agent"], to=4)
    return database


def test_quiet_leaves_errors_alone(call: Call, sqlite: Database) -> None:
    sqlite.admin().upgrade(["sessions=agent"], to=4)
    loud, quiet = (call(*words, "inspect", "--db-url", sqlite.url) for words in ([], ["--quiet"]))
    assert loud.err
    assert quiet == Result(loud.code, loud.out, "")
    assert call("check", "-q", "--db-url", sqlite.url).err == ""
    assert call("upgrade", "-q", "--db-url", sqlite.url).err == ""
    assert "There is no file" in call("-q", "check", "--db-url", "sqlite:///typo.db").err
    assert "No such option" in call("-q", "check", "--tyop").err


def test_only_an_option_that_is_meant_is_proposed(call: Call) -> None:
    refused = call("sessions", "restore", "f.jsonl", "--user", "ada")
    assert (refused.code, "No such option '--user'." in refused.err, "Did you mean" in refused.err) == (64, True, False)
    assert "Did you mean '--rejects'?" in call("sessions", "restore", "f.jsonl", "--reject", "x").err
    assert "Did you mean '--db-url'?" in call("--log-format", "json", "check", "--db_url", "x").err


def test_verbose_says_which_statements_are_sent_without_their_values(call: Call, old: Database) -> None:
    name = old.table("sessions")
    old.run(f"INSERT INTO {name} (session_id, user_id) VALUES ('canary-id', 'canary-user')")
    result = call("upgrade", "--verbose", "--db-url", old.url)
    [added] = [line for line in result.err.splitlines() if "ADD COLUMN team_session_id" in line]
    assert added.startswith("Sent: ALTER TABLE")
    assert not [line for line in result.err.splitlines() if len(line) > 400 and line.startswith("Sent: SELECT")]
    assert re.search(r"^Sent: (SELECT \S*(advisory|GET_LOCK)|BEGIN IMMEDIATE)", result.err, flags=re.MULTILINE)
    assert call("check", "--db-url", old.url).err == "1 table: 1 current\n"  # no longer than the one command
    listed = call("sessions", "list", "-v", "--db-url", old.url)
    assert (listed.code, "Sent: SELECT" in listed.err) == (0, False)
    for command in (["list", "--user", "canary-user"], ["export", "--to", "out.jsonl", "--user", "canary-user"]):
        said = call("sessions", *command, "-vv", "--db-url", old.url).err
        assert re.search(r"^Sent: .*\bSELECT\b.*sessions", said, flags=re.MULTILINE)
        assert "canary-user" not in said
    if old.dialect.name == "postgresql":
        assert re.search(r"^Sent: COPY \(SELECT", said, flags=re.MULTILINE)


def test_a_statement_is_in_its_record_once_and_verbose_may_be_a_variable(
    call: Call, sqlite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqlite.admin().upgrade(["sessions=agent"], to=4)
    monkeypatch.setenv("STORAGE_ADMIN_VERBOSE", "yes")
    sent = [
        record for record in records(call("upgrade", *JSON, "--db-url", sqlite.url)) if record["event"] == "statement"
    ]
    assert {record["message"] for record in sent} == {"Sent"}
    assert "BEGIN IMMEDIATE" in [record["statement"] for record in sent]
    assert not [record for record in sent if record["statement"].startswith("SELECT")]
    monkeypatch.setenv("STORAGE_ADMIN_VERBOSE", "2")
    assert "Sent: SELECT" in call("check", "--db-url", sqlite.url).err
    assert call("check", "-q", "--db-url", sqlite.url).err == ""  # said here, before a habit


def test_an_option_before_its_command_is_told_its_place(call: Call) -> None:
    for words in (
        ["--db-url", "sqlite:///x.db", "check"],
        ["-o", "json", "check"],
        ["sessions", "--user", "u", "list"],
    ):
        result = call(*words)
        assert result.code == 64
        assert "goes after the command." in result.err
        assert "Did you mean" not in result.err
    assert "No such option" in call("--tyop", "check").err


@pytest.mark.parametrize("words", [["--bad", *JSON], ["--log-format=json", "--bad"], ["--bad", "--log-format=json"]])
def test_what_cannot_be_read_is_a_record_where_records_are_wanted(call: Call, words: list[str]) -> None:
    [misused] = records(call("check", *words))
    assert (misused["error"], misused["exit_code"]) == ("NoSuchOption", 64)
    assert call("check", *words, "--log-format", "text").err.startswith("Usage: ")
    assert call("check", "--bad", "--", *words).err.startswith("Usage: ")


def test_quiet_and_verbose_are_one_or_the_other(call: Call) -> None:
    for words in (["-q", "check", "-v"], ["check", "-qv"], ["check", "-v", "--quiet"]):
        result = call(*words, "--db-url", "sqlite:///typo.db")
        assert result.code == 64
        assert "Either --quiet or --verbose" in result.err


def test_a_record_of_each_table_is_written_with_facts(call: Call, database: Database) -> None:
    names = [database.table(name) for name in ("a", "b")]
    database.admin().upgrade([f"{name}=agent" for name in names], to=4)
    result = call("upgrade", *JSON, "-o", "json", "--db-url", database.url)
    assert result.json["changed"] is True
    tables = [record for record in records(result) if record["event"] == "table"]
    assert [(t["table"], t["result"], t["from_version"], t["to_version"]) for t in tables] == [
        (name, "upgraded", 4, 10) for name in names
    ]
    assert [(t["done"], t["total"], t["kinds"]) for t in tables] == [(1, 2, ["agent"]), (2, 2, ["agent"])]
    assert all(t["seconds"] > 0 and t["message"] == f"{t['table']} upgraded" for t in tables)
    assert records(result)[-1]["message"] == "2 tables: 2 upgraded"


def test_an_error_is_a_record_with_its_facts(call: Call, sqlite: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    sqlite.admin().upgrade(["sessions=agent"])
    sqlite.run("CREATE TABLE other AS SELECT * FROM sessions; UPDATE storage_admin_revisions SET to_version = 99")
    *_, last = records(call("upgrade", "other", *JSON, "--db-url", sqlite.url))
    assert (last["level"], last["event"], last["error"], last["exit_code"]) == ("error", "error", "UpgradeFailed", 3)
    [typo] = records(call(*JSON, "check", "--db-url", "sqlite:///typo.db"))
    assert (typo["error"], typo["exit_code"], typo["path"]) == ("NoSuchFile", 1, "typo.db")
    [gone] = records(call(*JSON, "check", "gone", "--db-url", sqlite.url))
    assert (gone["error"], gone["table"]) == ("NoSuchTable", "gone")
    [misused] = records(call(*JSON, "check", "--tyop"))
    assert (misused["error"], misused["exit_code"]) == ("NoSuchOption", 64)
    [traced] = records(call(*JSON, "--debug", "check", "--db-url", "sqlite:///typo.db"))
    assert "Traceback" in traced["traceback"]

    def broken(*_: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("storage_admin.cli.versions.catalog", broken)
    [unexpected] = records(call("versions", *JSON))
    assert unexpected["message"].startswith("unexpected RuntimeError: boom")


def test_every_command_speaks_in_records(call: Call, sqlite: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_ADMIN_LOG_FORMAT", "json")
    sqlite.admin().upgrade(["sessions=agent"], to=4)
    sqlite.run("INSERT INTO sessions (session_id, created_at) VALUES ('one', 1)")
    for command in ("inspect", "plan", "check", "doctor", "history", "versions"):
        arguments = [] if command == "versions" else ["--db-url", sqlite.url, "--verbose"]
        assert (records(call(command, *arguments)) != []) == (command != "versions")
    assert records(call("sessions", "stats", "--db-url", sqlite.url)) == []
    for arguments in (["list"], ["export", "--to", "out.jsonl"], ["delete", "one"]):
        assert records(call("sessions", *arguments, "--db-url", sqlite.url))
    pruned = call("sessions", "prune", "--older-than", "1h", "--db-url", sqlite.url)
    assert pruned.code == 1  # a question is no record, so nobody is asked
    assert records(pruned)[-1]["message"].startswith("Nobody answered")
    assert records(call("wait", "--timeout", "0", "--db-url", sqlite.url))[-1]["error"] == "NotCurrent"


def test_a_target_is_a_fact_of_each_record(call: Call, sqlite: Database) -> None:
    from pathlib import Path

    sqlite.admin().upgrade(["sessions=agent"], to=4)
    url = sqlite.url
    Path("storage-admin.toml").write_text(f"[targets.a]\ndb-url = '{url}'\n[targets.b]\ndb-url = 'sqlite:///no.db'\n")
    lines = records(call("upgrade", "--all-targets", *JSON))
    assert [(line["target"], line["event"]) for line in lines] == [("a", "table"), ("a", "said"), ("b", "error")]
