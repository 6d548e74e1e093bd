"""Sessions go into a file: whole, as they were at one moment, and with nothing lost on the way."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from storage_admin.errors import FileExists, NotWrittenToFile, UsageError
from storage_admin.sessions import Filter, Sessions
from tests.conftest import Database
from tests.sessions.tables import JSON, agents, insert, read


def test_a_file_has_a_header_a_line_for_each_session_a_trailer_and_an_end(database: Database, tmp_path: Path) -> None:
    table = agents(database, "s1", "s2")
    done = Sessions(database.url).export(tmp_path / "out.jsonl")
    head, *rows, tail, end = read((tmp_path / "out.jsonl").read_bytes())
    schema = "ai" if database.dialect.has_schemas else None
    assert head["table"] == {"schema": schema, "name": "sessions"}
    assert (head["kinds"], head["dialect"], head["version"]) == (["agent"], database.dialect.name, 10)
    assert tail == {"storage_admin": 1, "sessions": 2}
    assert end == {"storage_admin": 1, "headers": 1, "sessions": 2}
    assert sorted(row["session_id"] for row in rows) == ["s1", "s2"]
    assert done.sessions == 2
    [row] = [row for row in rows if row["session_id"] == "s1"]
    assert row["memory"] == JSON
    assert list(row) == [*head["columns"], "storage_admin"]
    assert (row["extra_data"], row["agent_data"], row["updated_at"]) == (None, None, None)
    assert row["storage_admin"] == {"agent_data": "null"}  # JSON's null, where extra_data has SQL's
    assert str(done.tables[0].header.table) == table


def test_the_manifest_says_what_the_file_is(database: Database, tmp_path: Path) -> None:
    agents(database, "s1", "s2", "s3")
    done = Sessions(database.url).export(tmp_path / "out.jsonl", Filter(user="u1"))
    data = (tmp_path / "out.jsonl").read_bytes()
    manifest = json.loads((tmp_path / "out.jsonl.manifest.json").read_text())
    assert manifest["sha256"] == hashlib.sha256(data).hexdigest() == done.sha256
    assert manifest["bytes"] == len(data) == done.bytes
    assert (manifest["file"], manifest["sessions"], manifest["snapshot"]) == ("out.jsonl", 1, True)
    assert manifest["filter"] == {"user": "u1"}
    assert manifest["tool"].startswith("storage-admin ")
    assert manifest["tables"][0]["header"]["kinds"] == ["agent"]
    assert sorted(path.name for path in tmp_path.glob("*out*")) == ["out.jsonl", "out.jsonl.manifest.json"]


def test_without_a_snapshot_the_same_sessions_are_read_page_by_page(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage_admin.sessions.exporting.PAGE", 2)
    agents(database, *(f"s{number}" for number in range(7)), "ü'\"%s\\")
    sessions = Sessions(database.url)
    sessions.export(tmp_path / "one.jsonl")
    sessions.export(tmp_path / "pages.jsonl", snapshot=False)
    one, pages = ((tmp_path / name).read_bytes().splitlines() for name in ("one.jsonl", "pages.jsonl"))
    assert sorted(one) == sorted(pages)
    assert json.loads((tmp_path / "pages.jsonl.manifest.json").read_text())["snapshot"] is False


def test_the_filters_of_a_list_are_those_of_an_export(database: Database, tmp_path: Path) -> None:
    agents(database, "s1", "100%", "o'hare")
    sessions = Sessions(database.url)
    for number, (wanted, found) in enumerate(
        [
            (Filter(ids=("100%", "s1")), {"100%", "s1"}),
            (Filter(ids=("o'hare",)), {"o'hare"}),
            (Filter(contains="☃"), {"s1", "100%", "o'hare"}),
            (Filter(after=1700000001), {"100%", "o'hare"}),
            (Filter(kind="agent", user="u0"), {"s1"}),
            (Filter(kind="team"), set()),
        ]
    ):
        done = sessions.export(tmp_path / f"{number}.jsonl", wanted)
        rows = [row for row in read((tmp_path / f"{number}.jsonl").read_bytes()) if "session_id" in row]
        assert {row["session_id"] for row in rows} == found
        assert done.sessions == len(found)


def test_several_tables_go_into_one_file(database: Database, tmp_path: Path) -> None:
    agents(database, "s1")
    agents(database, "s1", "s2", name="more")
    done = Sessions(database.url).export(tmp_path / "out.jsonl")
    assert sorted((table.header.table.name, table.sessions) for table in done.tables) == [("more", 2), ("sessions", 1)]
    lines = read((tmp_path / "out.jsonl").read_bytes())
    assert [line.get("sessions") for line in lines if "session_id" not in line] == [None, 2, None, 1, 3]


def test_a_file_that_is_there_is_left_unless_forced(database: Database, tmp_path: Path) -> None:
    agents(database, "s1")
    path = tmp_path / "out.jsonl"
    path.write_text("mine")
    with pytest.raises(FileExists):
        Sessions(database.url).export(path)
    assert path.read_text() == "mine"
    Sessions(database.url).export(path, force=True)
    assert b"s1" in path.read_bytes()


@pytest.mark.parametrize("name", ["out", "out.txt", "out.gz", "out.parquet.gz", "out.json"])
def test_a_name_that_says_no_format_is_refused(sqlite: Database, tmp_path: Path, name: str) -> None:
    agents(sqlite, "s1")
    with pytest.raises(UsageError):
        Sessions(sqlite.url).export(tmp_path / name)


def test_what_fails_on_the_way_leaves_no_file(database: Database, tmp_path: Path) -> None:
    agents(database, "s1")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Sessions(database.url).export(tmp_path / "out.jsonl", told=stop)
    assert not list(tmp_path.glob("*out*"))


def test_numbers_and_odd_texts_are_exact(database: Database, tmp_path: Path) -> None:
    memory = '{"float": 0.10000000000000000001, "edge": [9223372036854775807], "e": 1.50, "t": "\\\\u0041 \\t"}'
    table = agents(database, "s1", memory=memory)
    database.run(
        f"UPDATE {table} SET user_id = %s".replace("%s", "?" if database.dialect.name == "sqlite" else "%s"),
        ('"\\\t\n☃\x7f',),
    )
    Sessions(database.url).export(tmp_path / "out.jsonl")
    data = (tmp_path / "out.jsonl").read_bytes()
    if database.dialect.name == "mysql" and "MariaDB" not in database.run("SELECT version()")[0][0]:
        [(memory,)] = database.run(f"SELECT CAST(memory AS CHAR) FROM {table}")  # MySQL keeps a double: 0.1 and 1.5
    assert memory.encode() in data or database.dialect.name == "postgresql"  # which writes JSON its own way
    assert (b"0.10000000000000000001" if "0.10000000000000000001" in memory else b"0.1") in data
    assert (b"1.50" if "1.50" in memory else b"1.5") in data
    [_, row, _, _] = read(data)
    assert row["memory"] == json.loads(memory)
    assert row["user_id"] == '"\\\t\n☃\x7f'


def test_what_is_no_json_in_a_column_of_sqlite_is_kept_as_a_text(sqlite: Database, tmp_path: Path) -> None:
    table = agents(sqlite)
    texts = ["no json", "", " {}", '{\n"a": 1}', "NaN", '{"a": NaN}', '"\\ud800"', "[" * 3000 + "]" * 3000, " null"]
    for number, text in enumerate(texts):
        insert(sqlite, table, {"session_id": f"s{number}", "memory": text, "agent_data": '"fine"'})
    insert(sqlite, table, {"session_id": "s9", "memory": b"\xff\x00", "user_id": b"\x01", "created_at": "soon"})
    Sessions(sqlite.url).export(tmp_path / "out.jsonl")
    _, *rows, _, _ = read((tmp_path / "out.jsonl").read_bytes())
    for text, row in zip(texts, rows, strict=False):
        assert row["memory"] == text
        assert row["storage_admin"] == {"memory": "text"}
    assert rows[9]["memory"] == {"base64": "/wA="}
    assert rows[9]["user_id"] == {"base64": "AQ=="}
    assert rows[9]["created_at"] == "soon"


def test_columns_of_other_types_travel_along(postgres: Database, tmp_path: Path) -> None:
    postgres.run("CREATE SCHEMA ai")
    table = agents(postgres, "s1", "s2")
    postgres.run(
        f"ALTER TABLE {table} ADD COLUMN raw bytea, ADD COLUMN at timestamptz, ADD COLUMN price numeric, "
        "ADD COLUMN ok boolean, ADD COLUMN tags text[], ADD COLUMN loose json, "
        "ADD COLUMN twice bigint GENERATED ALWAYS AS (created_at * 2) STORED"
    )
    postgres.run(
        f"UPDATE {table} SET raw = decode(repeat('ff', 100), 'hex'), at = '2026-01-31 12:00+00', price = 1.50, "
        "ok = true, tags = '{a,b}', loose = E'{\"a\":\\n 1}' WHERE session_id = 's1'"
    )
    Sessions(postgres.url).export(tmp_path / "out.jsonl")
    head, *rows, _, _ = read((tmp_path / "out.jsonl").read_bytes())
    assert "twice" not in head["columns"]
    [row] = [row for row in rows if row["session_id"] == "s1"]
    assert row["raw"]["base64"].startswith("////")
    assert "\n" not in row["raw"]["base64"]
    assert (row["price"], row["ok"], row["tags"]) == (1.5, True, "{a,b}")
    assert row["at"].startswith("2026-01-31")
    assert row["loose"] == '{"a":\n 1}'
    assert row["storage_admin"] == {"agent_data": "null", "loose": "text"}


def test_a_row_that_may_be_too_large_is_fetched_alone(
    postgres: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage_admin.sessions.copy_out.LARGE", 400)
    postgres.run("CREATE SCHEMA ai")
    table = agents(postgres, "s1", "s2")
    postgres.run(f"UPDATE {table} SET user_id = repeat('x', 500) WHERE session_id = 's2'")
    done = Sessions(postgres.url).export(tmp_path / "out.jsonl")
    _, one, two, _, _ = read((tmp_path / "out.jsonl").read_bytes())
    assert (one["session_id"], two["session_id"], done.sessions) == ("s1", "s2", 2)
    assert one.keys() == two.keys()


def test_rows_that_may_be_too_large_neither_end_nor_turn_back_an_export_by_pages(
    postgres: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage_admin.sessions.copy_out.LARGE", 400)
    monkeypatch.setattr("storage_admin.sessions.exporting.PAGE", 2)
    postgres.run("CREATE SCHEMA ai")
    table = agents(postgres, *"abcdefgh")
    postgres.run(f"UPDATE {table} SET user_id = repeat('x', 500) WHERE session_id IN ('a', 'c', 'd', 'f')")
    done = Sessions(postgres.url).export(tmp_path / "out.jsonl", snapshot=False)
    _, *rows, _, _ = read((tmp_path / "out.jsonl").read_bytes())
    assert (sorted(row["session_id"] for row in rows), done.sessions) == ([*"abcdefgh"], 8)


@pytest.mark.parametrize("rowid", ["", "WITHOUT ROWID"])
def test_an_export_by_pages_goes_past_an_id_of_any_sort(
    rowid: str, sqlite: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage_admin.sessions.exporting.PAGE", 1)
    agents(sqlite)
    if rowid:
        [[ddl]] = sqlite.run("SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = 'sessions'")
        sqlite.run(f"DROP TABLE sessions; {ddl} {rowid}")
    sqlite.run(
        "INSERT INTO sessions (session_id, memory) VALUES ('a', '{}'), (CAST(x'62ff' AS TEXT), '{}'), ('ü', ' {} '), "
        "('z', '[1'), (x'00', '{}'), (x'ff', '{}'), ('', '{}')"
    )
    done = Sessions(sqlite.url).export(tmp_path / "out.jsonl", snapshot=False)
    _, *rows, _, _ = read((tmp_path / "out.jsonl").read_bytes())
    found = [row["session_id"] if isinstance(row["session_id"], str) else row["session_id"]["base64"] for row in rows]
    assert found == ["", "a", "Yv8=", "z", "ü", "AA==", "/w=="]
    assert done.sessions == 7


def test_a_database_that_speaks_another_encoding(postgres: Database, tmp_path: Path) -> None:
    postgres.run("CREATE SCHEMA ai")
    agents(postgres, "ü")
    name = postgres.url.rpartition("/")[2]
    postgres.run(f"ALTER DATABASE {name} SET client_encoding = 'LATIN1'; UPDATE ai.sessions SET memory = '[\"ü\"]'")
    Sessions(postgres.url).export(tmp_path / "out.jsonl")
    _, row, _, _ = read((tmp_path / "out.jsonl").read_bytes())
    assert (row["session_id"], row["memory"]) == ("ü", ["ü"])


def test_a_device_is_not_replaced_by_a_file(database: Database, tmp_path: Path) -> None:
    agents(database, "s1")
    pipe = tmp_path / "pipe.jsonl"
    os.mkfifo(pipe)
    with pytest.raises(NotWrittenToFile, match="no ordinary file"):
        Sessions(database.url).export(pipe, force=True)
    assert pipe.is_fifo()
