"""storage-admin repair."""

from __future__ import annotations

from collections.abc import Callable

from tests.cli.conftest import Result
from tests.conftest import Database
from tests.integration.tables import drop_index

Call = Callable[..., Result]


def damaged(database: Database, version: int) -> str:
    database.admin().upgrade([f"{database.table('sessions')}=agent"], to=version)
    return drop_index(database, "sessions_user_id", database.table("sessions"))


def test_repair_shows_what_it_does_and_then_does_it(call: Call, database: Database) -> None:
    index = damaged(database, 10)
    dry = call("repair", "--dry-run", "--db-url", database.url)
    assert f"INDEX {index}" in dry.out
    assert "Nothing was changed." in dry.err
    assert call("check", "--db-url", database.url).code == 2
    result = call("repair", "--db-url", database.url)
    assert (result.code, "create 1 index" in result.out) == (0, True)
    assert call("check", "--db-url", database.url).code == 0


def test_repair_says_what_it_leaves_and_at_which_version_the_table_stays(call: Call, database: Database) -> None:
    damaged(database, 6)
    dry = call("repair", "--dry-run", "--db-url", database.url)
    assert "ADD COLUMN" not in dry.out
    assert "->" not in dry.out
    result = call("repair", "-o", "json", "--db-url", database.url)
    assert result.code == 0
    [table] = result.json["tables"]
    assert (table["result"], table["to_version"]) == ("upgraded", 6)
    assert "left for `storage-admin upgrade`: add column team_session_id" in result.err
    assert call("check", "--db-url", database.url).code == 2
