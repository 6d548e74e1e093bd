"""storage-admin wait."""

from __future__ import annotations

from collections.abc import Callable

from tests.cli.conftest import Result
from tests.conftest import Database

Call = Callable[..., Result]


def test_wait_says_what_it_waits_for_once_and_ends_with_the_state(call: Call, database: Database) -> None:
    table = database.table("sessions")
    database.admin().upgrade([f"{table}=agent"], to=4)
    late = call("wait", table, "--timeout", "0.3", "--interval", "0.05", "--db-url", database.url)
    assert late.code == 2
    assert late.err.count(f"Waiting: {table} is outdated (4 of 10)\n") == 1
    assert late.out == ""
    database.admin().upgrade()
    assert call("wait", "--db-url", database.url) == Result(0, "", "1 table: 1 current\n")
    document = call("wait", "-o", "json", "--db-url", database.url).json
    assert document["status"] == "current"


def test_wait_shows_no_password_while_the_server_is_not_there(call: Call) -> None:
    url = "postgresql://ai:canary-secret@127.0.0.1:1/ai"
    result = call("wait", "--timeout", "0", "--db-url", url)
    assert result.code == 1
    assert "Waiting: Cannot connect to postgresql+psycopg://ai:***@127.0.0.1:1/ai" in result.err
    assert "canary" not in result.err
