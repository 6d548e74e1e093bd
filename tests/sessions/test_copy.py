"""From one database into another: whole, upgraded on the way, once more without harm, and compared by meaning."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from storage_admin import Status
from storage_admin.admin import StorageAdmin
from storage_admin.errors import CannotImport, ColumnsMissing, CopyDiffers, NoSuchFile, SomeLeftOut, UsageError
from storage_admin.sessions import Difference, Filter, Sessions
from storage_admin.sessions.copying import canonical
from tests.cli.conftest import (
    Result,
    call as call,  # noqa: PLC0414 - a fixture
)
from tests.conftest import Database
from tests.integration.tables import old_agents
from tests.sessions.tables import agents, insert
from tests.storage.sessions import KINDS, content, session

NAMES = ("postgres", "sqlite", "mariadb")
PAIRS = [(here, there) for here in NAMES for there in NAMES if here != there]


@pytest.fixture(params=PAIRS, ids="-".join)
def pair(request: pytest.FixtureRequest) -> tuple[Database, Database]:
    found = [request.getfixturevalue(name) for name in request.param]
    for database in found:
        if database.dialect.has_schemas:
            database.run("CREATE SCHEMA IF NOT EXISTS ai")
    return found[0], found[1]


def test_sessions_of_every_kind_are_what_they_were(pair: tuple[Database, Database]) -> None:
    here, there = pair
    for kind in KINDS:
        storage = here.storage(kind, mode=kind, auto_upgrade_schema=True)
        for number in range(3):
            storage.upsert(session(kind, f"{kind}-{number}"))
    done = Sessions(here.url).copy(there.url)
    assert [(each.sessions, each.same) for each in done.tables] == [(3, 3)] * len(KINDS)
    assert done.loaded is not None
    assert all((each.created, each.inserted) == (True, 3) for each in done.loaded.tables)
    for kind in KINDS:
        stored = there.storage(kind, mode=kind).read(f"{kind}-1")
        assert content(stored) == content(here.storage(kind, mode=kind).read(f"{kind}-1"))
    again = Sessions(here.url).copy(there.url)
    assert again.loaded is not None
    assert all((each.inserted, each.unchanged) == (0, 3) for each in again.loaded.tables)


def test_an_old_table_arrives_as_a_current_one_and_an_old_target_is_upgraded(pair: tuple[Database, Database]) -> None:
    here, there = pair
    table = old_agents(here)
    insert(here, table, {"session_id": "old", "memory": json.dumps({"runs": [1.50]}), "created_at": 5})
    Sessions(here.url).copy(there.url)
    assert there.admin().check().status is Status.CURRENT
    assert Sessions(there.url).show("old")[0].values["memory"] == {"runs": [1.5]}
    there.run(f"DROP TABLE {there.table('sessions')}")
    there.run(f"DROP TABLE {there.table('storage_admin_revisions')}")
    old_agents(there)
    Sessions(here.url).copy(there.url)
    assert there.admin().check().status is Status.CURRENT


def test_a_filter_copies_and_compares_a_part(pair: tuple[Database, Database]) -> None:
    here, there = pair
    agents(here, "a", "b", "c")
    assert Sessions(here.url).copy(there.url, Filter(user="u1")).tables[0].sessions == 1
    assert [s.session_id for s in Sessions(there.url).iterate()] == ["b"]


def test_a_comparison_names_what_is_missing_and_what_differs(pair: tuple[Database, Database], tmp_path: Path) -> None:
    here, there = pair
    agents(here, "a", "b", "c", "d")
    Sessions(here.url).copy(there.url)
    there.run(f"DELETE FROM {there.table('sessions')} WHERE session_id = 'b'")
    there.run(f"UPDATE {there.table('sessions')} SET user_id = 'x' WHERE session_id = 'c'")
    with pytest.raises(CopyDiffers, match="2 of 4 sessions are the same; missing 'b'; different 'c'"):
        Sessions(here.url).copy(there.url, verify_only=True)
    with pytest.raises(SomeLeftOut):  # c is another one there
        Sessions(here.url).copy(there.url, rejects=tmp_path / "aside.jsonl")


@pytest.mark.parametrize("choice", ["skip", "newer"])
def test_what_was_to_be_kept_may_differ_at_the_end(pair: tuple[Database, Database], choice: Any) -> None:
    here, there = pair
    agents(here, "a", "b")
    agents(there, "b", "z", user_id="mine", updated_at=1800000000)
    done = Sessions(here.url).copy(there.url, on_conflict=choice)
    [compared] = done.tables
    assert (compared.sessions, compared.same) == (2, 1)
    assert [str(part) for part in (compared.missing, compared.different, compared.target_only)] == ["", "'b'", "'z'"]
    there.run(f"DELETE FROM {there.table('sessions')} WHERE session_id = 'a'")
    with pytest.raises(CopyDiffers, match="missing 'a'") as differs:
        Sessions(here.url).copy(there.url, on_conflict=choice, verify_only=True)
    assert differs.value.result.tables[0].missing == Difference(1, ("a",))


def test_extra_columns_travel_into_a_new_table(pair: tuple[Database, Database]) -> None:
    here, there = pair
    table = agents(here, "a", "b")
    columns = ["notes TEXT", "score BIGINT", *([] if there.dialect.name == "mysql" else ["tags JSON"])]
    for column in columns:
        here.run(f"ALTER TABLE {table} ADD COLUMN {column}")
        here.run(
            f"UPDATE {table} SET {column.split()[0]} = '[1]' WHERE session_id = 'b'" if "J" in column else "SELECT 1"
        )
    here.run(f"UPDATE {table} SET notes = 'n', score = 5 WHERE session_id = 'b'")
    done = Sessions(here.url).copy(there.url)
    assert done.loaded is not None
    assert done.loaded.tables[0].added == [column.split()[0] for column in columns]
    assert done.tables[0].equal
    assert there.run(f"SELECT notes, score FROM {there.table('sessions')} ORDER BY session_id") == [
        (None, None),
        ("n", 5),
    ]
    assert there.admin().check().status is Status.CURRENT
    assert Sessions(here.url).copy(there.url).tables[0].equal


def test_a_comparison_makes_no_file_and_knows_one_by_any_of_its_names(sqlite: Database, tmp_path: Path) -> None:
    agents(sqlite, "a")
    with pytest.raises(NoSuchFile):
        Sessions(sqlite.url).copy(f"sqlite:///{tmp_path}/new.db", verify_only=True)
    assert not (tmp_path / "new.db").exists()
    (tmp_path / "link.db").symlink_to(str(make_url(sqlite.url).database))
    with pytest.raises(UsageError, match="the same database"):
        Sessions(sqlite.url).copy(f"sqlite:///{tmp_path}/link.db")


def test_a_column_that_the_target_lacks_is_named_or_left_out(sqlite: Database, postgres: Database) -> None:
    table = agents(sqlite, "a")
    sqlite.run(f"ALTER TABLE {table} ADD COLUMN notes TEXT DEFAULT 'extra'")
    postgres.run("CREATE SCHEMA ai")
    agents(postgres, "z")
    with pytest.raises(ColumnsMissing, match="notes"):
        Sessions(sqlite.url).copy(postgres.url)
    with pytest.raises(CannotImport, match="no column nots"):
        Sessions(sqlite.url).copy(postgres.url, without=["notes", "nots"])
    assert Sessions(sqlite.url).copy(postgres.url, without=["notes"]).tables[0].equal
    postgres.run("ALTER TABLE ai.sessions ADD COLUMN notes TEXT")
    Sessions(sqlite.url).copy(postgres.url, on_conflict="replace")
    assert postgres.run("SELECT notes FROM ai.sessions WHERE session_id = 'a'") == [("extra",)]


def test_what_a_target_cannot_hold_is_set_aside_and_the_rest_goes_over(
    sqlite: Database, postgres: Database, tmp_path: Path
) -> None:
    table = agents(sqlite, "a", "b")
    sqlite.run(f"UPDATE {table} SET memory = ? WHERE session_id = 'b'", ('{"x": "\\u0000"}',))
    with pytest.raises(SomeLeftOut, match="'b'"):
        Sessions(sqlite.url).copy(postgres.url, rejects=tmp_path / "aside.jsonl")
    assert [s.session_id for s in Sessions(postgres.url).iterate()] == ["a"]
    assert b'"session_id":"b"' in (tmp_path / "aside.jsonl").read_bytes()


def test_a_copy_makes_the_file_that_it_goes_to_and_an_import_does_not_unless_it_is_told_to(
    sqlite: Database, tmp_path: Path
) -> None:
    agents(sqlite, "a")
    url, path = f"sqlite:///{tmp_path}/new.db", tmp_path / "out.jsonl"
    Sessions(sqlite.url).export(path)
    for refused in (lambda: Sessions(url).load(path), lambda: Sessions(sqlite.url).copy(url, verify_only=True)):
        with pytest.raises(NoSuchFile, match="touch"):
            refused()
    assert not (tmp_path / "new.db").exists()
    Sessions(sqlite.url).copy(url)
    assert [s.session_id for s in Sessions(url).iterate()] == ["a"]
    assert Sessions(StorageAdmin(f"{url}2", create=True)).load(path).tables[0].inserted == 1


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ('{"a": 1, "b": [2.0]}', '{"b":[2],"a":1.0}', True),
        ('{"a": 1e2}', '{"a": 100}', True),
        ('{"a": "\\u00e9"}', '{"a": "é"}', True),
        ('{"a": 1}', '{"a": "1"}', False),
        ('{"a": 1.1}', '{"a": 1.10000000000000001}', False),
        ('{"a": 0}', '{"a": -0.0}', True),
        ('{"a": 1208925819614629174706176}', '{"a": 1208925819614629174706177}', False),
        ("[true]", "[1]", False),
    ],
)
def test_values_are_compared_by_what_they_mean(one: str, other: str, same: bool) -> None:
    def whole(text: str) -> Any:
        return canonical(
            b'{"session_id":"s","memory":' + text.encode() + b"}", ["session_id", "memory"], frozenset({"memory"})
        )

    assert (whole(one) == whole(other)) is same


def test_the_command_copies_compares_and_hides_the_password(
    call: Callable[..., Result], sqlite: Database, postgres: Database
) -> None:
    agents(sqlite, "a", "b")
    done = call("sessions", "copy", "--db-url", sqlite.url, "--to", postgres.url, "-o", "json")
    assert (done.code, done.json["compared"][0]["same"], done.json["loaded"]["tables"][0]["inserted"]) == (0, 2, 2)
    verified = call("sessions", "copy", "--verify", "--db-url", sqlite.url, "--to", postgres.url)
    assert (verified.code, verified.err) == (0, "sessions: 2 sessions compared, all the same\n")
    postgres.run("DELETE FROM ai.sessions")
    agents(postgres, "b", "z", user_id="mine")
    differs = call("sessions", "copy", "--verify", "--db-url", sqlite.url, "--to", postgres.url, "-o", "json")
    [compared] = differs.json["compared"]
    assert (differs.code, compared["same"], compared["missing"]) == (1, 0, {"sessions": 1, "ids": ["a"]})
    assert (compared["different"]["ids"], compared["target_only"]["ids"]) == (["b"], ["z"])
    assert "2 sessions compared, 0 the same, 1 missing, 1 different, 1 in the target only" in differs.err
    refused = call("sessions", "copy", "--db-url", sqlite.url, "--to", postgres.url, "-o", "json")
    assert (refused.code, refused.json["loaded"]["tables"][0]["rejected"], refused.json["compared"]) == (6, 1, [])
    assert "--on-conflict skip, newer or replace" in refused.err
    kept = call("sessions", "copy", "--db-url", sqlite.url, "--to", postgres.url, "--on-conflict", "skip")
    assert (kept.code, "1 different" in kept.err) == (0, True)
    failed = call("sessions", "copy", "--db-url", sqlite.url, "--to", "postgresql://a:hunter2@127.0.0.1:1/x", "--debug")
    assert failed.code == 1
    assert "hunter2" not in failed.err


def test_a_database_is_not_copied_into_itself(database: Database) -> None:
    agents(database, "a")
    with pytest.raises(UsageError, match="the same database"):
        Sessions(database.url).copy(database.url)
    with pytest.raises(UsageError, match="cannot be left out"):
        Sessions(database.url).load("x.jsonl", without=["session_id"])
