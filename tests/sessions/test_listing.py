"""Which sessions there are, on every database: filters, order, pages."""

from __future__ import annotations

from typing import Any

import pytest

from storage_admin.cli import run
from storage_admin.errors import UsageError
from storage_admin.schema import TableName
from storage_admin.sessions import Filter, Sessions, listing as listing_module, parse_age, parse_time
from tests.conftest import Database
from tests.storage.sessions import KINDS, session


def stored(database: Database, count: int = 12, kinds: tuple[str, ...] = KINDS) -> Sessions:
    """Sessions of every kind, each kind in a table of its own, the n-th one used at 1,000 + n."""
    for kind in kinds:
        storage = database.storage(kind, mode=kind, auto_upgrade_schema=True)
        for number in range(count):
            storage.upsert(session(kind, f"{kind}-{number:03}", f"u{number % 3}"))
        database.run(
            f"UPDATE {database.table(kind)} SET created_at = 500 + {digits(database)}, "
            f"updated_at = CASE WHEN {digits(database)} % 4 = 0 THEN NULL ELSE 1000 + {digits(database)} END"
        )
    return Sessions(database.admin())


def digits(database: Database) -> str:
    number = "signed" if database.dialect.name == "mysql" else "integer"
    return f"CAST(substr(session_id, length(session_id) - 2) AS {number})"


def all_pages(sessions: Sessions, limit: int, **options: Any) -> list[listing_module.SessionSummary]:
    found: list[listing_module.SessionSummary] = []
    after = None
    while True:
        page = sessions.page(limit=limit, after=after, **options)
        assert len(page.sessions) <= limit
        found += page.sessions
        after = page.next
        if after is None:
            return found


def test_a_session_in_a_line_says_whose_it_is_how_long_and_how_large(database: Database) -> None:
    sessions = stored(database, 2)
    for kind in KINDS:
        [first, second] = sessions.page(Filter(kind=kind)).sessions
        assert first.session_id == f"{kind}-001"
        assert (first.kind, first.user_id, first.name) == (kind, "u1", "Grüße")
        assert first.entity_id == f"{kind.removesuffix('_v2')}-1"
        assert first.table.name == kind
        assert (first.created_at, first.updated_at, first.runs) == (501, 1001, 1)
        assert (second.created_at, second.updated_at) == (500, None)
        assert first.bytes is not None
        assert first.bytes > 100


@pytest.mark.parametrize("sort", ["updated", "created", "id"])
def test_pages_of_any_size_give_every_session_once_and_in_order(database: Database, sort: Any) -> None:
    sessions = stored(database)
    whole = [(s.table, s.session_id) for s in all_pages(sessions, 1000, sort=sort)]
    assert len(whole) == len(set(whole)) == 12 * len(KINDS)
    for limit in (5, 12, 47, 48):
        assert [(s.table, s.session_id) for s in all_pages(sessions, limit, sort=sort)] == whole
    one_by_one = all_pages(sessions, 1, sort=sort, wanted=Filter(user="u1"))
    assert [(s.table, s.session_id) for s in one_by_one] == [
        (s.table, s.session_id) for s in sessions.iterate(Filter(user="u1"), sort=sort)
    ]
    assert [(s.table, s.session_id) for s in sessions.iterate(sort=sort)] == whole
    values = [
        (s.updated_at or s.created_at or 0) if sort == "updated" else s.created_at
        for s in all_pages(sessions, 7, sort=sort)
    ]
    if sort != "id":
        assert values == sorted(values, key=lambda value: -(value or 0))


def test_filters_narrow_by_user_entity_kind_and_time(database: Database) -> None:
    sessions = stored(database)

    def ids(**wanted: Any) -> set[str]:
        return {s.session_id for s in all_pages(sessions, 10, wanted=Filter(**wanted))}

    assert ids(user="u1", kind="agent") == {"agent-001", "agent-004", "agent-007", "agent-010"}
    assert ids(entity="team-1") == {f"team-{n:03}" for n in range(12)}
    assert ids(entity="workflow-1", kind="workflow_v2") == {f"workflow_v2-{n:03}" for n in range(12)}
    assert ids(kind="agent", after=1010) == {"agent-010", "agent-011"}
    assert ids(kind="agent", before=1002) == {"agent-000", "agent-001", "agent-004", "agent-008"}
    assert ids(kind="agent", created_before=502) == {"agent-000", "agent-001"}
    assert ids(kind="agent", created_after=510) == {"agent-010", "agent-011"}
    assert ids(ids=("agent-003", "team-003", "nobody")) == {"agent-003", "team-003"}
    assert ids(user="nobody") == set()
    assert ids(user="u1' OR '1'='1") == set()


@pytest.mark.parametrize("text", ["hello ☃", "HELLO", '100%_ "quoted" \\ back', "Grüße"])
def test_a_text_is_found_however_the_database_keeps_its_json(database: Database, text: str) -> None:
    storage = database.storage(auto_upgrade_schema=True)
    storage.upsert(
        session(
            "agent",
            "a",
            memory={"runs": [{"messages": [{"role": "user", "content": f"so: {text}!"}]}]},
            session_data={},
        )
    )
    storage.upsert(session("agent", "b", memory={"runs": []}, session_data={"session_name": "100x"}))
    found = Sessions(database.admin()).page(Filter(contains=text.swapcase() if text.isascii() else text))
    assert [s.session_id for s in found.sessions] == ["a"]


def test_a_table_of_two_kinds_says_the_kind_of_each_row(database: Database) -> None:
    for kind in ("agent", "team"):
        database.storage("both", mode=kind, auto_upgrade_schema=True).upsert(session(kind, f"{kind}-1"))
    page = Sessions(database.admin()).page(sort="id")
    assert [(s.session_id, s.kind, s.entity_id) for s in page.sessions] == [
        ("agent-1", "agent", "agent-1"),
        ("team-1", "team", "team-1"),
    ]
    assert [s.session_id for s in Sessions(database.admin()).page(Filter(kind="team")).sessions] == ["team-1"]


def test_a_large_table_is_not_sorted_by_time_unless_that_is_asked_for(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = stored(database, 5, ("agent",))
    monkeypatch.setattr(listing_module, "FEW", 3)
    page = sessions.page(limit=2)
    assert page.sort == "id"
    assert "too large to be sorted by time" in page.notes[0]
    assert page.next is not None
    assert [s.session_id for s in sessions.page(limit=2, after=page.next).sessions] == ["agent-002", "agent-003"]
    assert "each row was read" in sessions.page(sort="updated").notes[0]
    assert "no index serves this filter" in sessions.page(Filter(contains="x")).notes[-1]
    assert sessions.page(Filter(user="u1")).notes == ()
    assert sessions.page(Filter(user="u1")).sort == "updated"


def test_a_place_of_another_listing_is_refused(database: Database) -> None:
    sessions = stored(database, 3, ("agent",))
    for place in ("nonsense", "W10", "ünï"):
        with pytest.raises(UsageError, match="no place in this listing"):
            sessions.page(after=place)


def test_ids_that_a_database_takes_for_equal_are_two(mariadb: Database) -> None:
    storage = mariadb.storage("sessions", auto_upgrade_schema=True)
    storage.upsert(session("agent", "a", "Ada"))
    storage.upsert(session("agent", "b", "ada"))
    page = Sessions(mariadb.admin()).page(Filter(user="ada"))
    assert [s.session_id for s in page.sessions] == ["b"]
    assert Sessions(mariadb.admin()).page(Filter(ids=("A",))).sessions == ()


def test_what_is_no_json_in_a_file_of_sqlite_does_not_stop_a_listing(sqlite: Database) -> None:
    sqlite.storage(auto_upgrade_schema=True).upsert(session("agent", "a"))
    sqlite.run("UPDATE sessions SET memory = 'no json', session_data = '[1]'")
    [found] = Sessions(sqlite.admin()).page().sessions
    assert (found.session_id, found.name, found.runs) == ("a", None, None)


def test_times_are_dates_ages_or_seconds() -> None:
    assert parse_time("90d", now=10_000_000) == 10_000_000 - 90 * 86_400
    assert parse_time("2026-01-31") == 1_769_817_600
    assert parse_time("2026-01-31T01:00:00+01:00") == 1_769_817_600
    assert parse_time("2026-01-31T00:00Z") == 1_769_817_600
    assert parse_time("1769817600") == 1_769_817_600
    assert parse_age("2w") == 14 * 86_400
    for text in ("", "yesterday", "90", "2026-13-01", "-5d", "3m"):
        with pytest.raises(UsageError, match="no time"):
            parse_time(text)
        with pytest.raises(UsageError, match="no age"):
            parse_age(text)


def test_the_name_of_a_table_stays_the_name(database: Database) -> None:
    name = 'odd "name" %s'
    database.storage(name, auto_upgrade_schema=True).upsert(session("agent", "a%s:x"))
    [found] = Sessions(database.admin()).page().sessions
    assert found.table == TableName("ai" if database.dialect.has_schemas else None, name)
    assert found.session_id == "a%s:x"


def test_a_time_that_is_a_text_stops_no_listing_of_sqlite(sqlite: Database) -> None:
    sqlite.storage(auto_upgrade_schema=True).upsert(session("agent", "a"))
    sqlite.run("UPDATE sessions SET created_at = 'soon', updated_at = 'later'")
    sessions = Sessions(sqlite.admin())
    for sort in ("updated", "created", "id"):
        assert [s.session_id for s in sessions.page(sort=sort).sessions] == ["a"]
    assert sessions.statistics()[0].sessions == 1
    assert run(["sessions", "list", "--db-url", sqlite.url]) == 0
    assert run(["sessions", "show", "a", "--db-url", sqlite.url]) == 0
    assert run(["sessions", "stats", "--db-url", sqlite.url]) == 0
