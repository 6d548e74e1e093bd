"""Reading, renaming, deleting and counting sessions, on every database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from storage_admin.errors import NoSuchSession, ReadOnlyServer, UnknownKind, UsageError
from storage_admin.sessions import Filter, Sessions, conversation
from tests.conftest import Database
from tests.storage.sessions import KINDS, content, session


def kept(database: Database, *stored: Any, table: str = "sessions", kind: Any = "agent") -> Sessions:
    storage = database.storage(table, mode=kind, auto_upgrade_schema=True)
    for one in stored:
        storage.upsert(one)
    return Sessions(database.admin())


@pytest.mark.parametrize("kind", KINDS)
def test_a_session_is_read_whole(database: Database, kind: str) -> None:
    sessions = kept(database, session(kind), kind=kind)
    database.run(f"ALTER TABLE {database.table('sessions')} ADD COLUMN notes VARCHAR(20)")
    database.run(f"UPDATE {database.table('sessions')} SET notes = 'extra'")
    [found] = sessions.show("s1")
    assert (found.kind, found.session_id, found.user_id, found.name) == (kind, "s1", "ada", "Grüße")
    assert found.entity_id == f"{kind.removesuffix('_v2')}-1"
    assert found.values["notes"] == "extra"
    expected = content(session(kind))
    for name in ("session_data", "extra_data"):
        assert found.values[name] == expected[name]
    assert [m.content for m in conversation(found)] == (["☃"] if kind == "workflow_v2" else ["hello ☃"])


def test_a_session_that_is_not_there_is_an_error_that_says_where_it_is_not(database: Database) -> None:
    sessions = kept(database, session())
    for act in (lambda: sessions.show("S1"), lambda: sessions.rename("nobody", "x")):
        with pytest.raises(NoSuchSession, match="sessions"):
            act()


def test_renaming_changes_the_name_and_nothing_else(database: Database) -> None:
    sessions = kept(database, session(), session(session_id="s2"))
    storage = database.storage(mode="agent")
    before = storage.read("s1").to_dict()
    for name in ('New "name" %s ☃', "", "it's"):
        [done] = sessions.rename("s1", name)
        assert (done.table.name, done.sessions) == ("sessions", 1)
        expected = before | {"session_data": before["session_data"] | {"session_name": name}}
        assert storage.read("s1").to_dict() == expected
    assert storage.read("s2").session_data["session_name"] == "Grüße"


@pytest.mark.parametrize("data", [None, "[1]", "null"])
def test_a_session_without_data_gets_a_name_too(database: Database, data: str | None) -> None:
    sessions = kept(database, session())
    value = "NULL" if data is None else f"'{data}'"
    database.run(f"UPDATE {database.table('sessions')} SET session_data = {value}")
    sessions.rename("s1", "named")
    assert sessions.show("s1")[0].values["session_data"] == {"session_name": "named"}


def test_deleting_by_id_or_user_takes_those_and_no_others(database: Database) -> None:
    sessions = kept(database, session(), session(session_id="s2"), session(session_id="s3", user_id="ben"))
    kept(database, session("team", "s9"), session("team", "s1"), table="teams", kind="team")
    assert [(c.table.name, c.sessions) for c in sessions.count(Filter(user="ada"))] == [("sessions", 2), ("teams", 2)]
    done = sessions.delete(Filter(ids=("s1", "none")), tables=["sessions"])
    assert [(c.table.name, c.sessions) for c in done] == [("sessions", 1)]
    done = sessions.delete(Filter(user="ada"))
    assert [(c.table.name, c.sessions) for c in done] == [("sessions", 1), ("teams", 2)]
    assert [s.session_id for s in sessions.iterate()] == ["s3"]
    assert sessions.delete(Filter(user="ada")) == ()
    with pytest.raises(UsageError, match="empty filter"):
        sessions.delete(Filter())


def test_numbers_are_those_of_the_rows(database: Database) -> None:
    day = 86_400
    sessions = kept(database, *(session(session_id=f"s{n}", user_id=f"u{n % 2}") for n in range(5)))
    for number in range(5):
        database.run(
            f"UPDATE {database.table('sessions')} SET created_at = {number // 2 * 31 * day + 10}, updated_at = NULL "
            f"WHERE session_id = 's{number}'"
        )
    [numbers] = sessions.statistics(retentions=[10, 1_000_000])
    assert (numbers.sessions, numbers.users, numbers.runs) == (5, 2, 5)
    assert (numbers.oldest, numbers.newest) == (10, 62 * day + 10)
    assert [(d.period, d.sessions) for d in numbers.days] == [("1970-01-01", 2), ("1970-02-01", 2), ("1970-03-04", 1)]
    assert [(m.period, m.sessions) for m in numbers.months] == [("1970-01", 2), ("1970-02", 2), ("1970-03", 1)]
    assert [(r.days, r.sessions) for r in numbers.retentions] == [(10, 5), (1_000_000, 0)]
    assert numbers.retentions[0].bytes == numbers.bytes == sum(d.bytes for d in numbers.days)
    assert len(numbers.largest) == 5
    assert numbers.largest[0].bytes == max(s.bytes or 0 for s in sessions.iterate())
    [mine] = sessions.statistics(Filter(user="u1"))
    assert (mine.sessions, mine.users) == (2, 1)


def test_an_empty_table_has_numbers_too(database: Database) -> None:
    database.admin().upgrade([f"{database.table('sessions')}=agent"])
    [numbers] = Sessions(database.admin()).statistics()
    assert (numbers.sessions, numbers.bytes, numbers.oldest, numbers.newest, numbers.days) == (0, 0, None, None, ())
    assert Sessions(database.admin()).page().sessions == ()


@pytest.mark.parametrize("version", [1, 4, 6])
def test_a_table_of_an_old_release_is_administered_as_it_is(database: Database, version: int) -> None:
    database.admin().upgrade([f"{database.table('sessions')}=agent"], to=version)
    database.run(
        f"INSERT INTO {database.table('sessions')} (session_id, user_id, session_data, created_at) "
        "VALUES ('old', 'ada', '{\"session_name\": \"first\"}', 5)"
    )
    sessions = Sessions(database.admin())
    assert sessions.page().sessions[0].name == "first"
    sessions.rename("old", "second")
    assert sessions.show("old")[0].name == "second"
    assert sessions.statistics()[0].sessions == 1
    assert sessions.delete(Filter(user="ada"))[0].sessions == 1


def test_a_read_only_session_is_refused_before_anything_is_sent(postgres: Database) -> None:
    sessions = kept(postgres, session())
    [(name,)] = postgres.run("SELECT current_database()")
    postgres.run(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    with pytest.raises(ReadOnlyServer):
        sessions.delete(Filter(user="ada"))
    assert sessions.page().sessions[0].session_id == "s1"


def test_a_kind_that_there_is_not_is_no_filter(database: Database) -> None:
    kept(database, session("agent"))
    with pytest.raises(UnknownKind, match=r"'agents' is no kind of session.*Did you mean agent\?"):
        Filter(kind="agents")


def test_a_text_is_one_table(database: Database, tmp_path: Path) -> None:
    sessions = kept(database, session("agent"))
    table = database.table("sessions")
    assert sessions.export(tmp_path / "out.jsonl", tables=table).sessions == 1
    assert sessions.export(tmp_path / "told.jsonl", tables=table, told=lambda *_: None).sessions == 1
    assert [each.sessions for each in sessions.count(tables=table)] == [1]
    assert [each.sessions for each in sessions.statistics(tables=table)] == [1]
    assert sessions.admin.check(table).plans[0].table.name == "sessions"
    assert [each.session_id for each in sessions.iterate(tables=table)] == ["s1"]
