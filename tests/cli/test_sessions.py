"""storage-admin sessions, as it is typed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from storage_admin.cli.schemas import DOCUMENTS
from tests.cli.conftest import Result
from tests.conftest import Database
from tests.storage.sessions import session

Call = Callable[..., Result]
MESSAGES: list[dict[str, object]] = [
    {"role": "system", "content": "You are " + "very " * 100 + "kind."},
    {"role": "user", "content": "where?\nhere \x1b[31m"},
    {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "find", "arguments": "{}"}}]},
    {"role": "tool", "tool_name": "find", "content": "x" * 500},
    {"role": "assistant", "content": "There." * 100, "metrics": {"input_tokens": 1200, "output_tokens": 5}},
]


@pytest.fixture
def url(database: Database) -> list[str]:
    storage = database.storage(mode="agent", auto_upgrade_schema=True)
    storage.upsert(session("agent", "s1", memory={"runs": [{"messages": MESSAGES}]}))
    storage.upsert(session("agent", "s2", "ben"))
    return ["--db-url", database.url]


def test_list_shows_a_table_for_people_and_a_document_for_programs(call: Call, url: list[str]) -> None:
    shown = call("sessions", "list", "--sort", "id", *url)
    assert (shown.code, shown.err) == (0, "2 sessions\n")
    assert [line.split()[0] for line in shown.out.splitlines()[2:]] == ["s1", "s2"]
    page = call("sessions", "list", "--limit", "1", "--sort", "id", "-o", "json", *url)
    assert set(page.json) == set(DOCUMENTS["sessions-list"].__struct_fields__)
    rest = call("sessions", "list", "--from", page.json["next"], "-o", "json", *url).json
    assert ([s["session_id"] for s in rest["sessions"]], rest["next"]) == (["s2"], None)
    assert call("sessions", "list", "--user", "nobody", *url).err == "No session matches.\n"


def test_show_folds_what_is_long_and_lets_nobody_speak_to_the_terminal(call: Call, url: list[str]) -> None:
    shown = call("sessions", "show", "s1", *url)
    assert "\x1b[31m" not in shown.out
    assert "user: where?\nhere ?[31m" in shown.out
    assert "  calls find({})" in shown.out
    assert "x" * 200 + "... (500 characters)" in shown.out
    assert "There." * 100 in shown.out
    assert "5 messages in 1 run, 1,200 tokens in, 5 out" in shown.err
    assert "x" * 500 in call("sessions", "show", "s1", "--full", *url).out
    assert call("sessions", "show", "s1", "--raw", *url).json["memory"]["runs"][0]["messages"] == MESSAGES
    document = call("sessions", "show", "s1", "-o", "json", *url).json
    assert set(document) == set(DOCUMENTS["sessions-show"].__struct_fields__)
    assert [m["role"] for m in document["messages"]] == ["system", "user", "assistant", "tool", "assistant"]


def test_a_typo_is_answered_with_what_helps(call: Call, url: list[str]) -> None:
    missing = call("sessions", "show", "s3", *url)
    assert missing.code == 1
    assert "`storage-admin sessions list`" in missing.err
    assert call("sessions", "list", "--before", "yesterday", *url).code == 64
    assert "90d" in call("sessions", "list", "--before", "yesterday", *url).err
    assert "agent" in call("sessions", "list", "--kind", "agnet", *url).err
    assert call("sessions", "list", "--from", "x", *url).code == 64


def test_rename_and_delete_do_it_and_delete_asks(call: Call, url: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert call("sessions", "rename", "s1", "Trip", *url).code == 0
    assert "named Trip" in call("sessions", "show", "s1", *url).out
    assert call("sessions", "delete", *url).code == 64
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _: "n")
    refused = call("sessions", "delete", "--user", "ada", *url)
    assert refused.code == 1
    assert "1 session" in refused.err
    assert "Nothing was done." in refused.err

    def nobody(_: str) -> str:
        raise EOFError

    monkeypatch.setattr("click.termui.visible_prompt_func", nobody)
    assert "--yes does not ask" in call("sessions", "delete", "--user", "ada", *url).err
    assert call("sessions", "show", "s1", *url).code == 0
    done = call("sessions", "delete", "--user", "ada", "--yes", "-o", "json", *url)
    assert done.json["sessions"] == 1
    assert done.json["tables"][0]["table"] == "sessions"
    assert call("sessions", "delete", "--user", "ada", "--yes", *url).err.startswith("No session of ada in any table.")
    partly = call("sessions", "delete", "s2", "s9", "--yes", *url)
    assert (partly.code, "Not there: s9" in partly.err) == (1, True)
    assert call("sessions", "delete", "s1", "--yes", *url).code == 1


def test_stats_count_for_people_and_programs(call: Call, url: list[str]) -> None:
    shown = call("sessions", "stats", "--retention", "30", *url)
    assert shown.code == 0
    assert "30 days" in shown.out
    document = call("sessions", "stats", "-o", "json", *url).json
    assert (document["tables"][0]["sessions"], document["tables"][0]["users"]) == (2, 2)
