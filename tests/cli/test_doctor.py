"""storage-admin doctor."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import psycopg
import pytest
import yaml

from tests.cli.conftest import Result
from tests.conftest import Database

Call = Callable[..., Result]
SCHEMA = Path(__file__).parents[2] / "docs" / "json" / "doctor.schema.json"


@pytest.fixture
def old(database: Database) -> Database:
    database.admin().upgrade([f"{database.table('sessions')}=agent"], to=4)
    return database


def test_doctor_says_what_it_saw_and_what_to_do(call: Call, old: Database) -> None:
    result = call("doctor", "--db-url", old.url)
    assert result.code == 0  # a warning is no problem
    assert f"warning  outdated-tables: 1 of 1 session tables is outdated: {old.table('sessions')}" in result.out
    assert "-> See what is pending with `storage-admin plan`; then: storage-admin upgrade" in result.out
    assert "0 problems, 1 warning, " in result.err


def test_doctor_ends_with_1_where_there_is_a_problem(call: Call, old: Database) -> None:
    old.run(f"CREATE TABLE {old.table('copy')} AS SELECT * FROM {old.table('sessions')}")  # without its primary key
    result = call("doctor", "--db-url", old.url)
    assert (result.code, "problem  drifted-tables" in result.out) == (1, True)


@pytest.mark.parametrize("reachable", [True, False])
def test_what_programs_read_is_as_its_schema_says(call: Call, old: Database, reachable: bool) -> None:
    url = old.url if reachable else "postgresql://ai:canary-secret@127.0.0.1:1/ai"
    as_json, as_yaml = (call("doctor", "-o", form, "--db-url", url) for form in ("json", "yaml"))
    jsonschema.validate(as_json.json, json.loads(SCHEMA.read_text()))
    assert as_json.json["level"] == ("warning" if reachable else "problem")
    assert {f["rule"] for f in yaml.safe_load(as_yaml.out)["findings"]} == {f["rule"] for f in as_json.json["findings"]}
    assert "canary" not in as_json.out + as_json.err + as_yaml.out
    assert as_json.code == (0 if reachable else 1)


def test_nothing_of_a_session_is_shown_while_somebody_works_with_it(call: Call, postgres: Database) -> None:
    postgres.admin().upgrade(["ai.sessions=agent"])
    with psycopg.connect(postgres.dsn) as application:
        application.execute("INSERT INTO ai.sessions (session_id, user_id) VALUES ('canary-1', $$canary-2$$)")
        result = call("doctor", "--long", "0", "--db-url", postgres.url)
    assert "held-locks: pid" in result.out
    assert "INSERT INTO ai.sessions" in result.out
    assert "canary" not in result.out + result.err


def test_what_many_tables_have_is_shown_three_times_and_counted(call: Call, sqlite: Database) -> None:
    names = [f"t{number}" for number in range(6)]
    sqlite.admin().upgrade([f"{name}=agent" for name in names])
    for name in names:
        sqlite.run(f"CREATE INDEX twice_{name} ON {name} (user_id)")
    result = call("doctor", "--db-url", sqlite.url)
    assert result.out.count("duplicate-indexes: ") == 4
    assert "note     duplicate-indexes: 3 more of this rule; -o json has all\n" in result.out
    assert "7 notes" in result.err
    findings = call("doctor", "-o", "json", "--db-url", sqlite.url).json["findings"]
    assert [finding["rule"] for finding in findings].count("duplicate-indexes") == 6
