"""`sessions export`, `import` and `restore` on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.cli.conftest import Result
from tests.conftest import Database
from tests.sessions.tables import agents

Call = Callable[..., Result]


def test_an_export_says_what_it_wrote(call: Call, database: Database, tmp_path: Path) -> None:
    table = agents(database, "s1", "s2")
    done = call("sessions", "export", "--to", "out.jsonl", "-o", "json", "--db-url", database.url)
    assert (done.code, done.json["sessions"], done.json["tables"][0]["sessions"]) == (0, 2, 2)
    assert done.json["sha256"] == json.loads((tmp_path / "out.jsonl.manifest.json").read_text())["sha256"]
    assert f"{table}: 2 sessions" in done.err
    again = call("sessions", "export", "--to", "out.jsonl", "--db-url", database.url)
    assert again.code == 64
    assert "--force" in again.err
    forced = call("sessions", "export", table, "--to", "out.jsonl", "--user", "u1", "--force", "--db-url", database.url)
    assert (forced.code, forced.out) == (0, "")
    assert "1 session in" in forced.err
    none = call("sessions", "export", "--to", "none.jsonl", "--user", "nobody", "--db-url", database.url)
    assert (none.code, "Note: no session matches, so there is none in it\n" in none.err) == (0, True)


def test_an_export_to_standard_output_is_data_alone(call: Call, sqlite: Database) -> None:
    agents(sqlite, "s1")
    done = call("sessions", "export", "--to", "-", "--no-snapshot", "--db-url", sqlite.url)
    head, row, tail, end = map(json.loads, done.out.splitlines())
    assert (head["storage_admin"], row["session_id"], tail["sessions"]) == (1, "s1", 1)
    assert (end["headers"], end["sessions"]) == (1, 1)
    refused = call("sessions", "export", "--to", "-", "-o", "json", "--db-url", sqlite.url)
    assert refused.code == 64


def test_an_import_says_what_became_of_each_session(call: Call, database: Database) -> None:
    table = agents(database, "s1", "s2")
    assert call("sessions", "export", "--to", "out.jsonl", "--db-url", database.url).code == 0
    database.run(f"DELETE FROM {table} WHERE session_id = 's1'")
    done = call("sessions", "restore", "out.jsonl", "-o", "json", "--db-url", database.url)
    assert done.code == 0
    [row] = done.json["tables"]
    assert (row["read"], row["inserted"], row["unchanged"], row["created"]) == (2, 1, 1, False)
    database.run(f"UPDATE {table} SET user_id = 'secret' WHERE session_id = 's1'")
    failed = call("sessions", "import", "out.jsonl", table, "--db-url", database.url)
    assert failed.code == 6
    assert "session 's1'" in failed.err
    assert "out.jsonl.rejects.jsonl" in failed.err
    assert "u0" not in failed.err
    assert "secret" not in failed.err
    assert call("sessions", "import", "out.jsonl", "--on-conflict", "replace", "--db-url", database.url).code == 0
    assert database.run(f"SELECT user_id FROM {table} WHERE session_id = 's1'") == [("u0",)]


def test_a_file_that_is_not_there(call: Call, sqlite: Database) -> None:
    failed = call("sessions", "import", "nothing.jsonl", "--db-url", sqlite.url)
    assert failed.code == 1
    assert "nothing.jsonl" in failed.err


def test_rejects_of_an_earlier_run_are_said_to_be_such_and_nothing_is_compared_after_rejects(
    call: Call, sqlite: Database, tmp_path: Path
) -> None:
    table, other = agents(sqlite, "a", "b"), tmp_path / "other.db"
    other.touch()
    copy = ("sessions", "copy", "--to", f"sqlite:///{other}", "--db-url", sqlite.url)
    first = call(*copy)
    assert (first.code, f"{table}: 2 sessions copied, created\n" in first.err) == (0, True)
    sqlite.run(f"UPDATE {table} SET user_id = 'x' WHERE session_id = 'b'")
    left = call(*copy)
    assert left.code == 6
    assert "0 sessions copied, 1 there already, 1 rejected\nNot compared, since rows were rejected" in left.err
    assert "Error: 1 row did not go in; it is in copy.rejects.jsonl:" in left.err
    again = call(*copy, "--on-conflict", "replace")
    assert again.code == 0
    assert "Note: copy.rejects.jsonl is of an earlier run; nothing was rejected in this one\n" in again.err
    assert Path("copy.rejects.jsonl").exists()
    assert "Note" not in call(*copy, "--rejects", "another.jsonl").err


def test_an_import_into_no_table_says_how_it_would_create_one(call: Call, sqlite: Database) -> None:
    agents(sqlite, "a")
    Path("a.csv").write_text("session_id\ns1\n")
    refused = call("sessions", "import", "a.csv", "foo", "--db-url", sqlite.url)
    assert refused.code == 1
    assert "There is no table foo in " in refused.err
    assert refused.err.endswith("To let the import create it, name its kind: foo=KIND\n")
    assert call("sessions", "import", "a.csv", "foo=agent", "--db-url", sqlite.url).code == 0
