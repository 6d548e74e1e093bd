"""The other formats bring back the same as JSONL does."""

from __future__ import annotations

import csv
import gzip
import sys
from pathlib import Path

import pytest

from storage_admin.errors import BadExport, ExtraMissing, SomeLeftOut, UsageError
from storage_admin.sessions import Sessions
from tests.conftest import Database
from tests.sessions.tables import agents, insert, stored

every_format = pytest.mark.parametrize(
    "name", ["out.jsonl.gz", "out.jsonl.zst", "out.csv", "out.csv.gz", "out.parquet"]
)
ODD = ["", "\\", "\\=", "a,b", '"', "a\nb\r\nc", " x ", "null", "NULL", "☃", "\\N"]


def filled(database: Database) -> str:
    table = agents(database, *(f"s{number}" for number in range(len(ODD))))
    mark = "?" if database.dialect.name == "sqlite" else "%s"
    for number, text in enumerate(ODD):
        update = f"UPDATE {table} SET user_id = {mark}, extra_data = {mark} WHERE session_id = {mark}"
        database.run(update, (text, '"\\\\ \\n"', f"s{number}"))
    return table


@every_format
def test_what_comes_back_is_what_went_out(database: Database, tmp_path: Path, name: str) -> None:
    table = filled(database)
    before = stored(database, table)
    done = Sessions(database.url).export(tmp_path / name)
    database.run(f"DROP TABLE {table}")
    loaded = Sessions(database.url).load(tmp_path / name)
    assert stored(database, table) == before
    assert done.sessions == loaded.sessions == len(ODD)
    assert loaded.tables[0].created


@every_format
def test_a_file_that_was_cut_is_noticed(sqlite: Database, tmp_path: Path, name: str) -> None:
    filled(sqlite)
    Sessions(sqlite.url).export(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(BadExport, match="manifest"):
        Sessions(sqlite.url).load(tmp_path / name)
    (tmp_path / f"{name}.manifest.json").unlink()
    if ".csv" not in name or name.endswith("gz"):  # CSV alone has no end to be missed
        with pytest.raises(BadExport):
            Sessions(sqlite.url).load(tmp_path / name, "sessions=agent")


def test_other_programs_read_the_compressed_forms(sqlite: Database, tmp_path: Path) -> None:
    filled(sqlite)
    sessions = Sessions(sqlite.url)
    for name in ("out.jsonl", "out.jsonl.gz", "out.csv", "out.parquet"):
        sessions.export(tmp_path / name)
    assert gzip.decompress((tmp_path / "out.jsonl.gz").read_bytes()) == (tmp_path / "out.jsonl").read_bytes()
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["user_id"] for row in rows[3:6]] == ODD[3:6]
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(tmp_path / "out.parquet")
    assert table["user_id"].to_pylist() == ODD
    assert table["created_at"].to_pylist()[0] == 1700000000


@pytest.mark.parametrize("name", ["out.csv", "out.parquet"])
def test_a_format_of_one_table_is_not_for_two(sqlite: Database, tmp_path: Path, name: str) -> None:
    agents(sqlite, "s1")
    agents(sqlite, "s1", name="more")
    with pytest.raises(UsageError, match="one table"):
        Sessions(sqlite.url).export(tmp_path / name)
    assert Sessions(sqlite.url).export(tmp_path / name, tables=["more"]).sessions == 1


def test_csv_by_somebody_else(database: Database, tmp_path: Path) -> None:
    table = agents(database)
    path = tmp_path / "foreign.csv"
    path.write_text(
        '\ufeffsession_id,user_id,created_at,memory\ns1,\\x,5,"{""a"": 1}"\ns2,,,\ns3,a\ns4,a,soon,\n', encoding="utf-8"
    )
    with pytest.raises(SomeLeftOut) as failed:
        Sessions(database.url).load(path, f"{table}=agent")
    bad = [4] if database.dialect.name == "sqlite" else [4, 5]
    assert [row.line for row in failed.value.result.rejected] == bad
    rows = database.run(f"SELECT session_id, user_id, created_at FROM {table} ORDER BY 1")
    assert rows[:2] == [("s1", "\\x", 5), ("s2", None, None)]


def test_parquet_by_somebody_else(sqlite: Database, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    agents(sqlite)
    rows = [{"session_id": "s1", "memory": {"runs": [1]}, "created_at": 5}, {"session_id": None}]
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "foreign.parquet")
    with pytest.raises(SomeLeftOut):
        Sessions(sqlite.url).load(tmp_path / "foreign.parquet", "sessions=agent")
    assert sqlite.run("SELECT session_id, memory, created_at FROM sessions") == [("s1", '{"runs":[1]}', 5)]


def test_what_parquet_cannot_hold_is_named(sqlite: Database, tmp_path: Path) -> None:
    table = agents(sqlite, "s1")
    insert(sqlite, table, {"session_id": "s2", "created_at": "soon"})
    insert(sqlite, table, {"session_id": "s3", "memory": b"\1"})
    with pytest.raises(SomeLeftOut, match="'s2'") as failed:
        Sessions(sqlite.url).export(tmp_path / "out.parquet")
    assert failed.value.result.sessions == 1
    assert Sessions(sqlite.url).export(tmp_path / "out.csv").sessions == 3
    before = stored(sqlite, table)
    sqlite.run(f"DELETE FROM {table}")
    Sessions(sqlite.url).load(tmp_path / "out.csv")
    assert stored(sqlite, table) == before


@pytest.mark.parametrize(("name", "package"), [("out.jsonl.zst", "zstandard"), ("out.parquet", "pyarrow")])
def test_a_package_that_is_missing_is_named(
    sqlite: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    agents(sqlite, "s1")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ExtraMissing, match=r"pip install 'storage-admin\["):
        Sessions(sqlite.url).export(tmp_path / name)
    assert not list(tmp_path.glob("*out*"))


@pytest.mark.parametrize(("name", "package"), [("in.jsonl.zst", "zstandard"), ("in.parquet", "pyarrow")])
def test_a_package_that_is_missing_is_named_before_a_file_is_read(
    sqlite: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    agents(sqlite, "s1")
    Sessions(sqlite.url).export(tmp_path / name)
    with (tmp_path / name).open("ab") as file:
        file.write(b"no longer what its manifest says")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ExtraMissing):
        Sessions(sqlite.url).load(tmp_path / name)


def test_rows_that_are_set_aside_are_compressed_as_their_name_says(
    sqlite: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agents(sqlite, "s1")
    Sessions(sqlite.url).export(tmp_path / "out.jsonl")
    sqlite.run("UPDATE sessions SET user_id = 'another'")
    aside = tmp_path / "aside.jsonl.zst"
    with pytest.raises(SomeLeftOut):
        Sessions(sqlite.url).load(tmp_path / "out.jsonl", rejects=aside)
    sqlite.run("DELETE FROM sessions")
    assert Sessions(sqlite.url).load(aside).sessions == 1
    sqlite.run("DELETE FROM sessions")
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(ExtraMissing):
        Sessions(sqlite.url).load(tmp_path / "out.jsonl", rejects=aside)
    assert sqlite.run("SELECT count(*) FROM sessions") == [(0,)]
