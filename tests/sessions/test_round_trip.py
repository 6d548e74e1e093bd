"""Out and in again, elsewhere: over every table that a release made, and over whatever JSON allows."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from storage_admin.errors import SomeLeftOut
from storage_admin.sessions import Sessions
from tests.conftest import Database
from tests.integration.test_every_shape import AMBIGUOUS, SHAPES, fill, stored
from tests.sessions.tables import agents, insert, stored as stored_rows
from tests.shapes import Shape

every_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.id)


@pytest.fixture
def shaped(shape: Shape, request: pytest.FixtureRequest) -> Database:
    fixtures = {"postgresql": "postgres", "sqlite": "sqlite", "mysql": "mariadb"}
    found: Database = request.getfixturevalue(fixtures[shape.dialect])
    if found.dialect.has_schemas:
        found.run("CREATE SCHEMA ai")
    found.run(shape.ddl)
    fill(found, shape)
    return found


@every_shape
def test_every_table_comes_back(shape: Shape, shaped: Database, tmp_path: Path) -> None:
    kind = AMBIGUOUS.get(shape.id)
    table = shaped.table(shape.name)
    before = stored(shaped, shape)
    sessions = Sessions(shaped.url)
    done = sessions.export(tmp_path / "out.jsonl", tables=[f"{table}={kind}"] if kind else None)
    assert sessions.load(tmp_path / "out.jsonl").tables[0].unchanged == done.sessions == 3
    shaped.run(f"DROP TABLE {table}")
    assert sessions.load(tmp_path / "out.jsonl").tables[0].inserted == 3
    assert stored(shaped, shape) == before


# --- every value that JSON allows --------------------------------------------------------------------------

EDGES = [0, -1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 2**63, 2**64 - 1, 2**64, 2**80, -(2**80), 10**400]
texts = st.text(max_size=8) | st.sampled_from(
    ["\0", "\\u0000", "\ud800", "\U0001f600", '"', "\\", "\n", "\x7f", "a\0b"]
)
numbers = (
    st.integers().map(str)
    | st.sampled_from(EDGES).map(str)
    | st.floats(allow_nan=False, allow_infinity=False).map(repr)
    | st.sampled_from(["1.10", "0.1e-7", "1e400", "-0", "-0.0", "1E2", "0.10000000000000000001", "1.0"])
)
strings = st.tuples(texts, st.booleans()).map(lambda pair: json.dumps(pair[0], ensure_ascii=pair[1]))
scalars = numbers | strings.filter(lambda text: not any("\ud800" <= c <= "\udfff" for c in text))
scalars |= st.sampled_from(["null", "true", "false", "{}", "[]", '""'])
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda items: f"[{', '.join(items)}]")
        | st.dictionaries(strings, inner, max_size=4).map(
            lambda items: "{" + ",".join(f"{key}:{value}" for key, value in _distinct(items).items()) + "}"
        )
    ),
    max_leaves=12,
)


def _nested(text: str) -> str:
    """SQLite makes a number of what looks like one when it is stored, and not always the same number."""
    return f"[{text}]" if isinstance(json.loads(text), (int, float)) else text


wild = values.map(_nested) | st.sampled_from(
    ["NaN", '{"a": Infinity}', '"\\ud800"', "no json", "", " {}\n", "[" * 2000 + "]" * 2000]
)
rows = st.lists(st.tuples(st.none() | wild, st.none() | wild, st.none() | texts), min_size=1, max_size=6)


def _distinct(items: dict[str, str]) -> dict[str, str]:
    """One entry for each key as JSON reads it, and no half characters as they are."""
    return {
        json.dumps(json.loads(key)): value
        for key, value in items.items()
        if not any("\ud800" <= c <= "\udfff" for c in key)
    }


def read(text: Any) -> Any:
    """The value of a JSON text to its last digit; of what is none, the text."""
    if text is None:
        return None
    try:
        return "json", json.loads(text, parse_float=Decimal, parse_int=Decimal)
    except (ValueError, RecursionError):
        return "text", text


def found(database: Database, table: str) -> dict[str, tuple[Any, ...]]:
    """What is in a table, by id."""
    cast = "CAST({} AS CHAR)" if database.dialect.name == "mysql" else "CAST({} AS TEXT)"
    columns = ", ".join(cast.format(name) for name in ("memory", "extra_data"))
    query = f"SELECT session_id, {columns}, user_id FROM {table}"
    return {row[0]: (read(row[1]), read(row[2]), row[3]) for row in database.run(query)}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=rows)
def test_each_value_is_equal_elsewhere_or_its_row_is_set_aside(
    rows: list[tuple[str | None, str | None, str | None]],
    sqlite: Database,
    database: Database,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("trip")
    source = agents(sqlite, name="source")
    target = agents(database, name="target")
    for each, table in ((sqlite, source), (database, target)):
        each.run(f"DELETE FROM {table}")
    for number, (memory, extra, user) in enumerate(rows):
        user = None if user is None or any("\ud800" <= c <= "\udfff" for c in user) else user  # noqa: PLW2901
        insert(sqlite, source, {"session_id": f"s{number}", "memory": memory, "extra_data": extra, "user_id": user})
    before = found(sqlite, source)
    Sessions(sqlite.url).export(folder / "out.jsonl", tables=[source])
    refused: set[str] = set()
    try:
        loaded = Sessions(database.url).load(folder / "out.jsonl", target)
    except SomeLeftOut as error:
        loaded = error.result
        assert loaded.rejects is not None
        refused = {json.loads(line).get("session_id") for line in loaded.rejects.read_bytes().splitlines()} - {None}
    after = found(database, target)
    assert set(after) | refused == set(before)
    assert not set(after) & refused
    for name, values in after.items():
        assert values == before[name]
    assert not refused or database.dialect.name != "sqlite"
    back = folder / "back.jsonl"
    Sessions(database.url).export(back, tables=[target])
    assert Sessions(database.url).load(back, target).tables[0].unchanged == len(after)


@pytest.mark.parametrize("number", ["1.5", "9.223372040321655e+18", "1e999", "1e2"])
def test_a_number_alone_that_sqlite_would_change_is_set_aside(sqlite: Database, tmp_path: Path, number: str) -> None:
    table = agents(sqlite, "s1")
    path = tmp_path / "foreign.jsonl"
    path.write_text(f'{{"session_id": "s2", "memory": {number}}}\n{{"session_id": "s3", "memory": 12}}')
    with pytest.raises(SomeLeftOut, match="another number"):
        Sessions(sqlite.url).load(path, f"{table}=agent")
    assert sqlite.run(f"SELECT session_id FROM {table} ORDER BY 1") == [("s1",), ("s3",)]


def test_what_is_very_large_or_very_deep(database: Database, tmp_path: Path) -> None:
    table = agents(database)
    deep = 900 if database.dialect.name != "mysql" else 30
    insert(database, table, {"session_id": "deep", "memory": "[" * deep + "]" * deep})
    insert(database, table, {"session_id": "large", "memory": json.dumps({"text": "ü" * 2_000_000})})
    before = found(database, table)
    sessions = Sessions(database.url)
    sessions.export(tmp_path / "out.jsonl")
    database.run(f"DELETE FROM {table}")
    assert sessions.load(tmp_path / "out.jsonl").tables[0].inserted == 2
    assert found(database, table) == before


def test_what_is_deeper_than_python_reads_goes_through_postgres(postgres: Database, tmp_path: Path) -> None:
    postgres.run("CREATE SCHEMA ai")
    table = agents(postgres)
    postgres.run(
        f"INSERT INTO {table} (session_id, memory) SELECT 's', (repeat('[', 3000) || repeat(']', 3000))::jsonb"
    )
    sessions = Sessions(postgres.url)
    sessions.export(tmp_path / "out.jsonl")
    postgres.run(f"DELETE FROM {table}")
    assert sessions.load(tmp_path / "out.jsonl").tables[0].inserted == 1
    assert postgres.run(f"SELECT length(memory::text) FROM {table}") == [(6000,)]


def test_a_column_whose_name_has_to_be_escaped_travels_too(sqlite: Database, tmp_path: Path) -> None:
    agents(sqlite, "s1", "s2")
    sqlite.run('ALTER TABLE sessions ADD COLUMN "my ""own"" \\" VARCHAR')
    sqlite.run("""UPDATE sessions SET "my ""own"" \\" = 'kept' WHERE session_id = 's2'""")
    query = "SELECT * FROM sessions ORDER BY session_id"
    before = sqlite.run(query)
    Sessions(sqlite.url).export(tmp_path / "out.jsonl")
    sqlite.run("DELETE FROM sessions")
    assert Sessions(sqlite.url).load(tmp_path / "out.jsonl").tables[0].inserted == 2
    assert sqlite.run(query) == before


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16"])
def test_texts_stay_texts_and_bytes_stay_bytes(encoding: str, sqlite: Database, tmp_path: Path) -> None:
    sqlite.run(f"PRAGMA encoding = '{encoding}'; CREATE TABLE other (a)")  # which settles it
    assert sqlite.run("PRAGMA encoding")[0][0].startswith(encoding)
    table = agents(sqlite, *(f"s{number}" for number in range(6)))
    sqlite.run("UPDATE sessions SET memory = CAST(memory AS BLOB), user_id = x'ff00' WHERE session_id = 's3'")
    sqlite.run("""UPDATE sessions SET memory = '{"a": "' || char(0) || 'b", no JSON ü' WHERE session_id = 's4'""")
    before = stored_rows(sqlite, table)
    Sessions(sqlite.url).export(tmp_path / "out.jsonl")
    assert Sessions(sqlite.url).load(tmp_path / "out.jsonl", on_conflict="replace").tables[0].unchanged == 6
    sqlite.run("UPDATE sessions SET memory = '[]'")
    assert Sessions(sqlite.url).load(tmp_path / "out.jsonl", on_conflict="replace").tables[0].updated == 6
    assert stored_rows(sqlite, table) == before
    sqlite.run("DELETE FROM sessions")
    assert Sessions(sqlite.url).load(tmp_path / "out.jsonl").tables[0].inserted == 6
    assert stored_rows(sqlite, table) == before
