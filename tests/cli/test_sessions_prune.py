"""`sessions prune` as it is typed, and what a terminal makes of tables."""

from __future__ import annotations

import os
import pty
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from time import localtime, strftime, time

import pytest

from storage_admin.cli.schemas import DOCUMENTS
from storage_admin.sessions import Filter, Old, Sessions
from tests.cli.conftest import Result
from tests.conftest import Database
from tests.sessions.tables import agents, stored

Call = Callable[..., Result]


def test_a_dry_run_and_an_empty_one_are_documents_too(call: Call, database: Database) -> None:
    table = agents(database, "s1", "s2")
    options = ["--older-than", "1d", "-o", "json", "--db-url", database.url]
    dry = call("sessions", "prune", "--dry-run", "--max-rows", "1", *options)
    assert (dry.code, dry.json["sessions"], [row["sessions"] for row in dry.json["tables"]]) == (0, 2, [2])
    assert set(dry.json) == set(DOCUMENTS["sessions-prune-dry-run"].__struct_fields__)
    assert "a run with --max-rows 1 would remove that many" in dry.err
    assert database.run(f"SELECT count(*) FROM {table}") == [(2,)]
    done = call("sessions", "prune", "--yes", "--no-archive", *options)
    assert (done.code, done.json["sessions"]) == (0, 2)
    again = call("sessions", "prune", "--yes", "--no-archive", *options)
    assert (again.code, again.json["sessions"], again.err) == (0, 0, "Nothing is that old.\n")


@pytest.mark.parametrize("option", ["--dry-run", "--max-rows=1"])
def test_a_package_that_the_archive_needs_is_named_before_anything_is_counted(
    call: Call, sqlite: Database, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    agents(sqlite, "s1", "s2")
    monkeypatch.setitem(sys.modules, "zstandard", None)
    options = ["--older-than", "1d", "--yes", "--archive", "x.jsonl.zst", "--db-url", sqlite.url]
    result = call("sessions", "prune", option, *options)
    assert (result.code, result.out) == (64, "")
    assert result.err.startswith("Error: A file in .zst needs zstandard")
    assert sqlite.run("SELECT count(*) FROM sessions") == [(2,)]


def test_the_command_that_finishes_a_prune_is_printed_and_works(call: Call, database: Database, tmp_path: Path) -> None:
    table = agents(database, "s1", "s2", user_id="O'Brien; x", updated_at=5)
    before = stored(database, table)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    old = Old(1_000, Filter(user="O'Brien; x"), keep_last=1)
    with pytest.raises(KeyboardInterrupt):
        Sessions(database.url).prune(old, archive=tmp_path / "x.jsonl.gz", told=stop)
    assert len(stored(database, table)) == 1
    refused = call("sessions", "restore", "x.jsonl.gz.partial", "--db-url", database.url)
    assert refused.code == 64
    for command in refused.err.split("storage-admin ")[1:3]:
        arguments = shlex.split(command.partition(". ")[0].replace("AGE", "90d"))
        done = call(*arguments, *(["--yes"] if "prune" in arguments else []), "--db-url", database.url)
        assert done.code == 0, done
    assert stored(database, table) == before


def test_a_renamed_session_is_a_document_and_an_age_a_retention(call: Call, database: Database) -> None:
    table = agents(database, "s1")
    done = call("sessions", "rename", "s1", "Mine", "-o", "json", "--db-url", database.url)
    assert (done.code, done.json["sessions"], done.json["tables"][0]["table"]) == (0, 1, table.rpartition(".")[2])
    options = ["--retention", "26w", "--retention", "7", "-o", "json", "--db-url", database.url]
    [numbers] = call("sessions", "stats", *options).json["tables"]
    assert [row["days"] for row in numbers["retentions"]] == [182, 7]
    assert call("sessions", "stats", "--retention", "1h", "--db-url", database.url).code == 64
    assert call("sessions", "stats", "--retention", "soon", "--db-url", database.url).code == 64


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such terminals")
def test_a_list_fits_the_terminal_and_a_pipe_gets_all_of_it(sqlite: Database, tmp_path: Path) -> None:
    agents(sqlite, "a-session-id-that-is-never-cut-0001", user_id="somebody with\na very long name indeed" * 2)
    command = [sys.executable, "-m", "storage_admin", "sessions", "list", "--db-url", sqlite.url]
    piped = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert "somebody with?a very long name indeed" * 2 in piped.stdout
    primary, secondary = pty.openpty()
    environment = os.environ | {"COLUMNS": "120"}
    with subprocess.Popen(command, stdout=secondary, stderr=subprocess.PIPE, env=environment, cwd=tmp_path) as process:
        os.close(secondary)
        shown = b""
        with os.fdopen(primary, "rb", buffering=0) as terminal:
            while part := _read(terminal):
                shown += part
        process.communicate()
    lines = shown.decode().splitlines()
    assert max(map(len, lines)) <= 120
    assert "a-session-id-that-is-never-cut-0001" in lines[-1]
    assert "somebody with?a" in lines[-1]
    assert "…" in lines[-1]


def _read(terminal: object) -> bytes:
    try:
        return terminal.read(4096)  # type: ignore[attr-defined,no-any-return]  # a raw file
    except OSError:  # how Linux says that nobody writes to a terminal any more
        return b""


def test_what_is_wrong_with_an_archive_is_said_before_anything_is_counted(call: Call, sqlite: Database) -> None:
    table = agents(sqlite, "s1", "s2")
    prune = ("sessions", "prune", "--older-than", "1d", "--yes", "--db-url", sqlite.url)
    Path("there.jsonl").touch()
    for name, said in (("x.csv", "An archive is JSONL"), ("there.jsonl", "is there already")):
        for options in ([], ["--dry-run"]):
            refused = call(*prune, "--archive", name, *options)
            assert (refused.code, refused.err.count("\n")) == (64, 1)
            assert said in refused.err
    with pytest.raises(KeyboardInterrupt):
        Sessions(sqlite.url).prune(Old(2**31, Filter(user="u0")), archive="big.jsonl", told=interrupted)
    refused = call(*prune, "--archive", "big.jsonl", "--user", "u1", "--keep-last", "3")
    assert (refused.code, refused.err.count("\n")) == (64, 1)
    assert f"a prune of sessions of the user 'u0' in {sqlite.url}, and holds the only copy" in refused.err
    assert "of sessions of the user 'u1' but the 3 newest of a user in" in refused.err
    assert sqlite.run(f"SELECT session_id FROM {table}") == [("s2",)]


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_prune_that_removed_nothing_leaves_nothing_and_speaks_of_nothing(
    call: Call, sqlite: Database, tmp_path: Path
) -> None:
    agents(sqlite, "s1")
    with closing(sqlite3.connect(sqlite.dsn, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        place = str(tmp_path / "l.jsonl")
        options = ("--older-than", "1d", "--yes", "--wait", "0", "--archive", place, "--db-url", sqlite.url)
        held = call("sessions", "prune", *options)
    assert held.code == 5
    assert "0 sessions were removed before" in held.err
    assert "removed so far" not in held.err
    assert list(tmp_path.glob("l.*")) == []


def test_two_prunes_of_a_day_have_archives_of_their_own_and_one_that_was_cut_off_is_gone_on_with(
    call: Call, sqlite: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = agents(sqlite, "s1", "s2", "s3", "s4")
    prune = ("sessions", "prune", "--older-than", "1d", "--yes", "--db-url", sqlite.url)
    assert call(*prune, "--max-rows", "1").code == 0
    monkeypatch.setattr("time.strftime", lambda form: strftime(form, localtime(time() + 1)))
    assert call(*prune, "--max-rows", "1").code == 0
    assert len(list(tmp_path.glob("pruned-*.jsonl"))) == 2
    before = int(time()) - 86_400
    with pytest.raises(KeyboardInterrupt):
        Sessions(sqlite.url).prune(Old(before), archive="pruned-1.jsonl", max_rows=1, told=interrupted)
    done = call(*prune)
    assert (done.code, "pruned-1.jsonl holds 2 sessions" in done.err) == (0, True)
    assert sqlite.run(f"SELECT count(*) FROM {table}") == [(0,)]
    assert list(tmp_path.glob("*.partial*")) == []
