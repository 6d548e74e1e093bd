"""A file goes into any database: once, whatever happens, and what cannot go in is named and set aside."""

from __future__ import annotations

import json
import re
from pathlib import Path
from random import randbytes
from typing import Any

import pytest
import zstandard

from storage_admin import Status
from storage_admin.errors import BadExport, CannotImport, ColumnsMissing, NoSuchTable, SomeLeftOut
from storage_admin.sessions import Sessions
from tests.conftest import Database
from tests.sessions.tables import agents, insert, read, stored

IDS = ("s1", "s2", "s3")


@pytest.fixture
def exported(database: Database, tmp_path: Path) -> Path:
    agents(database, *IDS)
    Sessions(database.url).export(tmp_path / "out.jsonl")
    return tmp_path / "out.jsonl"


def counts(loaded: Any) -> tuple[int, int, int, int]:
    [table] = loaded.tables
    return table.inserted, table.updated, table.unchanged, table.rejected


def test_what_comes_back_is_what_went_out(database: Database, exported: Path) -> None:
    table = database.table("sessions")
    before = stored(database, table)
    database.run(f"DROP TABLE {table}")
    loaded = Sessions(database.url).load(exported)
    assert stored(database, table) == before
    assert loaded.tables[0].created
    assert counts(loaded) == (3, 0, 0, 0)
    assert database.admin().check([table]).status is Status.CURRENT


def test_a_second_time_nothing_is_written(database: Database, exported: Path) -> None:
    table = database.table("sessions")
    before = stored(database, table)
    for policy in ("error", "skip", "newer", "replace"):
        assert counts(Sessions(database.url).load(exported, on_conflict=policy)) == (0, 0, 3, 0)
    assert stored(database, table) == before


def test_half_of_it_is_there_already(database: Database, exported: Path) -> None:
    table = database.table("sessions")
    before = stored(database, table)
    database.run(f"DELETE FROM {table} WHERE session_id <> 's2'")
    assert counts(Sessions(database.url).load(exported)) == (2, 0, 1, 0)
    assert stored(database, table) == before


def test_another_session_of_the_same_id_is_refused_and_set_aside(database: Database, exported: Path) -> None:
    table = database.table("sessions")
    database.run(f"DELETE FROM {table} WHERE session_id = 's3'")
    database.run(f"UPDATE {table} SET memory = '{{\"mine\": 1}}' WHERE session_id = 's2'")
    with pytest.raises(SomeLeftOut) as failed:
        Sessions(database.url).load(exported)
    loaded = failed.value.result
    assert (failed.value.exit_code, counts(loaded)) == (6, (1, 0, 1, 1))
    [rejected] = loaded.rejected
    assert rejected.session_id == "s2"
    assert "line 3" in str(failed.value) or "line 2" in str(failed.value) or "line 4" in str(failed.value)
    head, row, tail, end = read(loaded.rejects.read_bytes())
    assert (head["kinds"], row["session_id"], tail["sessions"]) == (["agent"], "s2", 1)
    assert (end["headers"], end["sessions"]) == (1, 1)
    assert loaded.rejects.name == "out.jsonl.rejects.jsonl"
    assert counts(Sessions(database.url).load(loaded.rejects, on_conflict="replace")) == (0, 1, 0, 0)
    assert counts(Sessions(database.url).load(exported)) == (0, 0, 3, 0)


def test_skip_leaves_what_is_there(database: Database, exported: Path) -> None:
    table = database.table("sessions")
    database.run(f"UPDATE {table} SET user_id = 'mine' WHERE session_id = 's2'")
    before = stored(database, table)
    assert counts(Sessions(database.url).load(exported, on_conflict="skip")) == (0, 0, 3, 0)
    assert stored(database, table) == before


def test_newer_replaces_what_was_used_before(database: Database, exported: Path) -> None:
    table = database.table("sessions")
    # s1 was created at ...000, s2 at ...001; neither was updated.
    database.run(f"UPDATE {table} SET user_id = 'later', updated_at = 1700000009 WHERE session_id = 's1'")
    database.run(f"UPDATE {table} SET user_id = 'earlier', created_at = 1 WHERE session_id = 's2'")
    assert counts(Sessions(database.url).load(exported, on_conflict="newer")) == (0, 1, 2, 0)
    found = dict(database.run(f"SELECT session_id, user_id FROM {table}"))
    assert found == {"s1": "later", "s2": "u1", "s3": "u2"}


def test_replace_takes_the_file(database: Database, exported: Path) -> None:
    table = database.table("sessions")
    before = stored(database, table)
    database.run(f"UPDATE {table} SET user_id = 'other', memory = NULL, agent_data = '1' WHERE session_id <> 's1'")
    database.run(f"DELETE FROM {table} WHERE session_id = 's3'")
    assert counts(Sessions(database.url).load(exported, on_conflict="replace")) == (1, 1, 1, 0)
    assert stored(database, table) == before


def test_a_file_of_several_tables_goes_into_each(database: Database, tmp_path: Path) -> None:
    tables = [agents(database, "s1"), agents(database, "s1", "s2", name="more")]
    before = [stored(database, table) for table in tables]
    Sessions(database.url).export(tmp_path / "out.jsonl")
    for table in tables:
        database.run(f"DROP TABLE {table}")
    loaded = Sessions(database.url).load(tmp_path / "out.jsonl")
    assert [(table.created, table.inserted) for table in loaded.tables] == [(True, 2), (True, 1)]
    assert [stored(database, table) for table in tables] == before
    with pytest.raises(CannotImport, match="several tables"):
        Sessions(database.url).load(tmp_path / "out.jsonl", "third=agent")


def test_a_table_can_be_named(database: Database, exported: Path) -> None:
    name = database.table("copies")
    Sessions(database.url).load(exported, name)
    assert stored(database, name) == stored(database, database.table("sessions"))


def test_bad_lines_are_named_and_the_others_go_in(database: Database, tmp_path: Path) -> None:
    table = agents(database)
    lines = [
        b'{"session_id": "s1", "memory": {"a": 1}}',
        b"no json",
        b'{"session_id": null}',
        b'{"memory": {}}',
        b'{"session_id": 5}',
        b'{"session_id": "s2", "unheard": 1, "of": null}',
        b'["session_id"]',
        b'{"session_id": "s3", "memory": {"a": NaN}}',
        b'{"session_id": "\xff"}',
        b'{"session_id": "s4", "created_at": "soon"}' if database.dialect.name != "sqlite" else b"{",
        b"",
        b'{"session_id": "s5", "created_at": 5, "unheard": null}',
    ]
    path = tmp_path / "foreign.jsonl"
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(CannotImport, match="TABLE=KIND"):
        Sessions(database.url).load(path)
    with pytest.raises(SomeLeftOut) as failed:
        Sessions(database.url).load(path, f"{table}=agent")
    loaded = failed.value.result
    assert [row.line for row in loaded.rejected] == list(range(2, 11))
    assert database.run(f"SELECT session_id, created_at FROM {table} ORDER BY 1") == [("s1", None), ("s5", 5)]
    assert loaded.rejects.read_bytes().splitlines() == lines[1:10]
    assert "unheard" in loaded.rejected[4].problem


def test_one_row_that_the_database_refuses_does_not_keep_the_others_out(database: Database, tmp_path: Path) -> None:
    table = agents(database)
    check = "CHECK (user_id <> 'bad')"
    if database.dialect.name == "sqlite":
        text = database.run("SELECT sql FROM sqlite_master WHERE name = 'sessions'")[0][0]
        database.run(f"DROP TABLE {table}; {text.rstrip(')').rstrip()}, {check})")
    else:
        database.run(f"ALTER TABLE {table} ADD CONSTRAINT nobody {check}")
    rows = [{"session_id": f"s{n}", "user_id": "bad" if n in (3, 40) else "good"} for n in range(50)]
    path = tmp_path / "foreign.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(SomeLeftOut) as failed:
        Sessions(database.url).load(path, f"{table}=agent")
    assert [(r.line, r.session_id) for r in failed.value.result.rejected] == [(4, "s3"), (41, "s40")]
    assert database.run(f"SELECT count(*) FROM {table}") == [(48,)]


def test_the_same_id_twice_in_a_file(database: Database, tmp_path: Path) -> None:
    table = agents(database)
    rows = [{"session_id": "s1", "user_id": user} for user in ("a", "a", "b")]
    path = tmp_path / "foreign.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(SomeLeftOut) as failed:
        Sessions(database.url).load(path, f"{table}=agent")
    assert counts(failed.value.result) == (1, 0, 1, 1)
    assert counts(Sessions(database.url).load(path, f"{table}=agent", on_conflict="replace")) == (0, 1, 2, 0)
    assert database.run(f"SELECT user_id FROM {table}") == [("b",)]


@pytest.mark.parametrize("end", [b"", b'{"session_id": "s3"', b'{"storage_admin":1,"sessions":9}\n'])
def test_a_file_that_has_lost_its_end_is_refused_or_said_to_be_so(
    database: Database, exported: Path, end: bytes
) -> None:
    lines = exported.read_bytes().splitlines(keepends=True)
    exported.write_bytes(b"".join(lines[:-2]) + end)
    table = database.table("sessions")
    database.run(f"DELETE FROM {table}")
    with pytest.raises(BadExport, match="manifest"):
        Sessions(database.url).load(exported)
    assert database.run(f"SELECT count(*) FROM {table}") == [(0,)]
    exported.with_name("out.jsonl.manifest.json").unlink()
    with pytest.raises(BadExport, match="[349] sessions"):
        Sessions(database.url).load(exported)
    assert database.run(f"SELECT count(*) FROM {table}") == [(3,)]


def test_a_file_that_was_cut_between_two_tables_is_not_whole(database: Database, tmp_path: Path) -> None:
    tables = [agents(database, "s1", name="one"), agents(database, "s2", "s3", name="two")]
    sessions, path = Sessions(database.url), tmp_path / "out.jsonl"
    sessions.export(path)
    lines = path.read_bytes().splitlines(keepends=True)
    database.run("; ".join(f"DELETE FROM {table}" for table in tables))
    for kept, said in ((3, "1 table with 1 session"), (7, "2 tables with 3 sessions")):
        cut = tmp_path / "cut.jsonl"
        cut.write_bytes(b"".join(lines[:kept]))
        with pytest.raises(
            BadExport, match=f"ends too early, after {said}: its last line is missing; what was read is in"
        ):
            sessions.load(cut)
        assert sum(counted.sessions for counted in sessions.count()) == int(said.split()[-2])
    cut.write_bytes(b"".join(lines[3:]))
    with pytest.raises(BadExport, match="its last line tells of 2 tables with 3 sessions, and it has 1 table with 2"):
        sessions.load(cut)
    cut.write_bytes(path.read_bytes() * 2)  # one file behind another
    assert sessions.load(cut).sessions == 6


def test_columns_that_the_table_lacks_are_an_error_before_anything_is_written(
    database: Database, tmp_path: Path
) -> None:
    table = agents(database, "s1")
    database.run(f"ALTER TABLE {table} ADD COLUMN seen date; UPDATE {table} SET seen = '2026-01-31'")
    Sessions(database.url).export(tmp_path / "out.jsonl")
    database.run(f"DROP TABLE {table}")
    with pytest.raises(
        ColumnsMissing, match=r"seen\. No release has it: add it to the table, or leave it out: --without"
    ):
        Sessions(database.url).load(tmp_path / "out.jsonl")
    assert database.run(f"SELECT count(*) FROM {table}") == [(0,)]
    Sessions(database.url).load(tmp_path / "out.jsonl", without=["seen"])
    assert database.run(f"SELECT session_id FROM {table}") == [("s1",)]


def test_an_extra_column_comes_back_with_its_table(database: Database, tmp_path: Path) -> None:
    table = agents(database, "s1")
    database.run(f"ALTER TABLE {table} ADD COLUMN notes text; UPDATE {table} SET notes = 'n'")
    before = stored(database, table)
    Sessions(database.url).export(tmp_path / "out.jsonl")
    database.run(f"DROP TABLE {table}")
    assert Sessions(database.url).load(tmp_path / "out.jsonl").tables[0].added == ["notes"]
    assert stored(database, table) == before


def test_what_holds_no_sessions_is_refused_before_a_table_is_made_for_it(database: Database, tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("name,age\nA,5\n")
    table = database.table("sessions")
    with pytest.raises(CannotImport, match="its first row has no session_id; its columns are: name, age"):
        Sessions(database.url).load(tmp_path / "people.csv", f"{table}=agent")
    with pytest.raises(NoSuchTable):
        Sessions(database.url).count(tables=[table])


def test_a_frame_of_zstandard_that_is_cut_is_not_the_end(database: Database, tmp_path: Path) -> None:
    lines = b"".join(b'{"session_id":"%d","user_id":"%s"}\n' % (n, randbytes(20).hex().encode()) for n in range(9000))
    whole = zstandard.ZstdCompressor().compress(lines)
    table = agents(database)
    for size in (5, len(whole) // 2, len(whole) - 3):
        (tmp_path / "cut.jsonl.zst").write_bytes(whole[:size])
        with pytest.raises(BadExport, match="ends too early"):
            Sessions(database.url).load(tmp_path / "cut.jsonl.zst", f"{table}=agent")
    (tmp_path / "two.jsonl.zst").write_bytes(whole + zstandard.ZstdCompressor().compress(b'{"session_id":"last"}\n'))
    Sessions(database.url).load(tmp_path / "two.jsonl.zst", f"{table}=agent")
    assert database.run(f"SELECT count(*) FROM {table}") == [(9001,)]


def test_what_was_changed_on_purpose_is_let_in_without_its_manifest(database: Database, exported: Path) -> None:
    exported.write_bytes(exported.read_bytes().replace(b'"u1"', b'"uX"'))
    with pytest.raises(BadExport, match=r"if you changed it, and mean it, take out\.jsonl\.manifest\.json away"):
        Sessions(database.url).load(exported)


def test_a_column_is_named_as_it_is_called_where_postgres_refuses_a_value(postgres: Database, tmp_path: Path) -> None:
    postgres.run("CREATE SCHEMA ai")
    table = agents(postgres, "s0")
    postgres.run(f"ALTER TABLE {table} ADD COLUMN n0 text")
    rows = [{"session_id": f"s{n}", "memory": {"n": "1" * 200_000 if n == 2 else "1"}, "n0": "x"} for n in range(3)]
    path = tmp_path / "deep.jsonl"
    deep = b'{"session_id":"s9","memory":' + b"[" * 20_000 + b"]" * 20_000 + b"}"
    path.write_bytes(b"\n".join([deep, *(json.dumps(row).encode() for row in rows)]))
    with pytest.raises(SomeLeftOut) as failed:
        Sessions(postgres.url).load(path, f"{table}=agent")
    assert [row.line for row in failed.value.result.rejected] == [1, 2]
    assert not re.search(r"\bc\d", failed.value.result.rejected[0].problem)
    assert "storage_admin_staging" not in str(failed.value)
    half = tmp_path / "half.jsonl"  # the server's context has a line for the JSON, and one for our COPY
    half.write_bytes(b'{"session_id":"s9","memory":{"a":"\\ud800"}}')
    with pytest.raises(SomeLeftOut, match="invalid input syntax for type json") as failed:
        Sessions(postgres.url).load(half, f"{table}=agent")
    assert "COPY" not in str(failed.value)


def test_a_table_with_retired_columns_is_created_with_them(database: Database, tmp_path: Path) -> None:
    table = database.table("sessions")
    database.admin().upgrade([f"{table}=agent"], to=3)
    insert(database, table, {"session_id": "s1", "user_data": '{"a": 1}'})
    Sessions(database.url).export(tmp_path / "out.jsonl")
    database.run(f"DROP TABLE {table}")
    Sessions(database.url).load(tmp_path / "out.jsonl")
    assert "{" in database.run(f"SELECT user_data FROM {table}")[0][0] or database.dialect.name == "postgresql"
    assert database.admin().check([table]).status is Status.CURRENT


def test_a_trigger_that_keeps_a_row_out_is_noticed(postgres: Database, tmp_path: Path) -> None:
    postgres.run("CREATE SCHEMA ai")
    table = agents(postgres, "s1", "s2")
    Sessions(postgres.url).export(tmp_path / "out.jsonl")
    postgres.run(
        f"DELETE FROM {table}; CREATE FUNCTION keep_out() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN IF NEW.session_id = ''s2'' THEN RETURN NULL; END IF; RETURN NEW; END'; "
        f"CREATE TRIGGER keep_out BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION keep_out()"
    )
    with pytest.raises(SomeLeftOut) as failed:
        Sessions(postgres.url).load(tmp_path / "out.jsonl")
    assert counts(failed.value.result) == (1, 0, 0, 1)
    assert "trigger" in failed.value.result.rejected[0].problem


def test_what_postgres_cannot_hold_is_set_aside(sqlite: Database, postgres: Database, tmp_path: Path) -> None:
    table = agents(sqlite)
    values = ['{"a": "\\u0000"}', '"\\\\u0000"', '"\\ud800"', "no json", '{"a": NaN}', "[" * 500 + "]" * 500]
    for number, memory in enumerate(values):
        insert(sqlite, table, {"session_id": f"s{number}", "memory": memory})
    insert(sqlite, table, {"session_id": "s6", "user_id": "a\0b"})
    insert(sqlite, table, {"session_id": "s7", "created_at": 1.5})
    insert(sqlite, table, {"session_id": "s8", "memory": b"\1"})
    Sessions(sqlite.url).export(tmp_path / "out.jsonl")
    with pytest.raises(SomeLeftOut) as failed:
        Sessions(postgres.url).load(tmp_path / "out.jsonl")
    refused = ["s0", "s2", "s3", "s4", "s6", "s7", "s8"]
    assert sorted(str(r.session_id) for r in failed.value.result.rejected) == refused
    assert failed.value.result.tables[0].rejected == 7
    assert postgres.run("SELECT session_id FROM ai.sessions ORDER BY 1") == [("s1",), ("s5",)]
    before = stored(sqlite, table)
    sqlite.run(f"DELETE FROM {table}")
    Sessions(sqlite.url).load(tmp_path / "out.jsonl")
    assert stored(sqlite, table) == before
