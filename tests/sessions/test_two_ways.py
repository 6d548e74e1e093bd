"""What is read at once where nothing is odd is what a closer look reads: of a row, and of a line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st

from storage_admin.schema import ColumnType
from storage_admin.sessions import Sessions
from storage_admin.sessions.formats import Line
from storage_admin.sessions.parsing import Parser, Row, Unfit
from storage_admin.sessions.tables import SessionColumn
from tests.conftest import Database
from tests.sessions.tables import agents, insert

COLUMNS = ("user_id", "memory", "extra_data", "agent_data", "created_at", "updated_at")
JSONS = [
    '{"a": 1}',
    "null",
    "[]",
    '"ü"',
    "1",
    "1.50",
    '{"a": "\\ud800"}',
    ' {"a": 1}',
    '{"a":\n1}',
    "[1",
    "2]",
    "1,2",
    "",
]
stored = (
    st.none()
    | st.sampled_from(JSONS)
    | st.text(max_size=6)
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.binary(max_size=6)
)
texts = st.sampled_from([None, "x", "ü", b"\xc3", b"\xa9"])
jsons = st.sampled_from([None, 1, '{"a": "b"}', "null", "[]"])
times = st.sampled_from([None, 1, -(2**63)])
# Mostly rows of which several can be taken together, and others in between.
plain = st.tuples(texts, jsons, jsons, jsons, times, times).map(list)
rows = st.lists(plain | plain | st.lists(stored, min_size=6, max_size=6), max_size=40)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=rows, as_texts=st.booleans())
@example(rows=[[half, *[None] * 5] for half in (b"\xc3", b"\xa9")], as_texts=True)  # UTF-8 only together
@example(rows=[[None, half, *[None] * 4] for half in ("[1", "2]")], as_texts=False)  # JSON only together
def test_rows_of_sqlite_become_the_same_lines_together_and_one_by_one(
    rows: list[list[Any]], as_texts: bool, sqlite: Database, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("ways")
    sqlite.run("DROP TABLE IF EXISTS sessions")
    table = agents(sqlite)
    for number, values in enumerate(rows):
        insert(sqlite, table, {"session_id": f"s{number:02}"} | dict(zip(COLUMNS, values, strict=True)))
    if as_texts:  # which need not be UTF-8
        sqlite.run("UPDATE sessions SET user_id = CAST(user_id AS TEXT), memory = CAST(memory AS TEXT)")
    Sessions(sqlite.url).export(folder / "together.jsonl")
    # A table without numbers for its rows is read value by value.
    [[ddl]] = sqlite.run("SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = 'sessions'")
    sqlite.run("ALTER TABLE sessions RENAME TO old")
    sqlite.run(f"{ddl} WITHOUT ROWID")
    sqlite.run("INSERT INTO sessions SELECT * FROM old")
    sqlite.run("DROP TABLE old")
    Sessions(sqlite.url).export(folder / "single.jsonl")
    # The headers say other versions, by the indexes that are gone.
    together, single = ((folder / f"{name}.jsonl").read_bytes().splitlines() for name in ("together", "single"))
    assert sorted(together[1:]) == sorted(single[1:])


raws = st.sampled_from(
    [
        *JSONS,
        "true",
        "-0",
        "1e400",
        str(2**63),
        str(-(2**63)),
        '"\\u0000"',
        '""',
        '"null"',
        "NaN",
        "nul",
        '{"base64": "/wA="}',
        '{"base64": "no"}',
        '"\\ud83d\\ude00"',
        '"\\udc00"',
    ]
)
forms = st.sampled_from(
    ["null", '{"memory": "null"}', '{"memory": "text"}', '{"user_id": "null"}', '{"*": "cell"}', "1"]
)
keys = st.sampled_from(["session_id", "user_id", "memory", "extra_data", "created_at", "unknown", "ignored"])
parts = st.lists(st.tuples(keys, raws) | st.tuples(st.just("storage_admin"), forms), max_size=8)


@settings(max_examples=400, deadline=None)
@given(parts=parts, key=st.sampled_from(['"s1"', "1", "null", '{"base64": "/wA="}']), strict=st.booleans())
def test_a_line_becomes_the_same_row_at_once_and_by_a_closer_look(
    parts: list[tuple[str, str]], key: str, strict: bool
) -> None:
    names = {
        "session_id": "VARCHAR",
        "user_id": "VARCHAR",
        "memory": "JSON",
        "extra_data": "JSON",
        "created_at": "BIGINT",
    }
    columns = [
        SessionColumn(name, live, ColumnType.JSON if live == "JSON" else ColumnType.TEXT)
        for name, live in names.items()
    ]
    parser = Parser(columns, ["ignored"], strict=strict)
    pairs = [("session_id", key), *parts]
    text = "{" + ", ".join(f"{json.dumps(name)}: {raw}" for name, raw in pairs) + "}\n"
    line = Line(1, text.encode())

    def outcome(read: Any) -> Row | str:
        try:
            found: Row = read(line)
        except Unfit as error:
            return str(error)
        return found

    assert outcome(parser) == outcome(parser._closer)
