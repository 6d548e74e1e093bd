"""JSON as Agno's own encoding gives it, and what a database cannot hold in a form that it can."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import datetime, timezone
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, strategies as st
from pydantic import BaseModel

from storage_admin.dialects import POSTGRES, SQLITE
from storage_admin.storage.encoding import Encoder, Unencodable, decode

any_text = st.text(st.characters(exclude_categories=()))
leaves = st.none() | st.booleans() | st.integers() | st.floats() | any_text
keys = any_text | st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False)


def nested(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(children) | st.dictionaries(keys, children) | st.tuples(children, children)


values = st.recursive(leaves, nested, max_leaves=20)


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for item in value if isinstance(value, (list, dict)) else ():
        yield from texts(item)
        yield from texts(value[item]) if isinstance(value, dict) else ()


def same(one: object, other: object) -> bool:
    return repr(one) == repr(other)  # NaN equals itself, True is not 1


@given(values)
def test_where_json_is_kept_as_text_the_result_is_that_of_the_standard_library(value: Any) -> None:
    encoder = Encoder(SQLITE)
    text, fresh = encoder.json(value, "memory")
    assert same(fresh, json.loads(json.dumps(value)))
    assert same(decode(text), fresh)
    assert encoder.replaced == []


@given(values)
def test_elsewhere_it_is_the_same_but_for_what_is_reported(value: Any) -> None:
    encoder = Encoder(POSTGRES)
    text, fresh = encoder.json(value, "memory")
    assert same(decode(text), fresh)
    if not encoder.replaced:
        assert same(fresh, json.loads(json.dumps(value)))
    held = json.loads(text, parse_constant=pytest.fail)
    for found in texts(held):
        found.encode()
        assert "\0" not in found


@given(any_text)
def test_a_text_column_gets_what_the_database_can_hold(text: str) -> None:
    for dialect in (POSTGRES, SQLITE):
        held = Encoder(dialect).text(text, "user_id")
        assert held is not None
        held.encode()
        assert dialect.holds_nul or "\0" not in held


@pytest.mark.parametrize(
    ("value", "held", "path"),
    [
        ({"runs": [{"score": math.nan}]}, {"runs": [{"score": "NaN"}]}, "memory.runs[0].score"),
        ([math.inf, -math.inf], ["Infinity", "-Infinity"], "memory[0]"),
        ({"a b": {"c": "x\0y"}}, {"a b": {"c": "x\\u0000y"}}, "memory['a b'].c"),
        ({"half": "\ud83d"}, {"half": "\\ud83d"}, "memory.half"),
        ({"k\0": 1}, {"k\\u0000": 1}, "memory"),
    ],
)
def test_what_jsonb_cannot_hold_is_replaced_and_its_path_is_told(value: Any, held: Any, path: str) -> None:
    encoder = Encoder(POSTGRES)
    text, fresh = encoder.json(value, "memory")
    assert fresh == json.loads(text) == held
    assert encoder.replaced[0][0] == path


def test_two_halves_of_a_character_are_the_character() -> None:
    encoder = Encoder(POSTGRES)
    assert encoder.json({"smile": "\ud83d\ude00"}, "memory")[1] == {"smile": "😀"}
    assert encoder.replaced == []


class Colour(Enum):
    RED = "red"


class Point(BaseModel):
    x: int = 1


@pytest.mark.parametrize(
    ("value", "held"),
    [
        (datetime(2026, 1, 2, tzinfo=timezone.utc), "2026-01-02T00:00:00Z"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ({"only"}, ["only"]),
        (Colour.RED, "red"),
        (Point(), {"x": 1}),
        (b"\x00", "AA=="),
    ],
)
@pytest.mark.parametrize("dialect", [POSTGRES, SQLITE], ids=["postgresql", "sqlite"])
def test_what_json_has_no_type_for_is_stored_in_its_json_form_and_told(value: Any, held: Any, dialect: Any) -> None:
    encoder = Encoder(dialect)
    assert encoder.json({"at": [value]}, "session_data")[1] == {"at": [held]}
    assert [path for path, _ in encoder.replaced] == ["session_data.at[0]"]


def test_what_has_no_json_form_at_all_is_refused_with_its_path() -> None:
    with pytest.raises(Unencodable, match=r"memory.agent: a value of type object has no JSON form"):
        Encoder(POSTGRES).json({"agent": object()}, "memory")
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(Unencodable, match="nested too deeply, or holds itself"):
        Encoder(POSTGRES).json(loop, "memory")
    with pytest.raises(Unencodable, match="digits"):
        Encoder(POSTGRES).json(10**5000, "memory")


def test_the_value_that_comes_back_is_a_fresh_one() -> None:
    value = {"runs": [{"a": 1}]}
    _, fresh = Encoder(POSTGRES).json(value, "memory")
    fresh["runs"][0]["a"] = 2
    assert value == {"runs": [{"a": 1}]}


@pytest.mark.parametrize("text", ["NaN", "[Infinity, -Infinity]", '"\\ud800"', "1e400", str(2**80), "null"])
def test_what_agno_wrote_is_read_as_agno_reads_it(text: str) -> None:
    assert same(decode(text), json.loads(text))


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(ValueError, match="Expecting"):
        decode("{nonsense")
    assert decode(None) is None
