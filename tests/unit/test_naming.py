from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from storage_admin.catalog import Catalog, load_catalog
from storage_admin.errors import BadTableName, UnknownKind
from storage_admin.naming import TableRef, parse_table

names = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=12)


@given(schema=st.none() | names, name=names, kinds=st.sets(st.sampled_from(["agent", "team", "workflow_v2"])))
def test_what_a_reference_prints_is_read_back(schema: str | None, name: str, kinds: set[str]) -> None:
    ref = TableRef(name, schema, tuple(sorted(kinds)))
    text = str(ref) + (f"={','.join(ref.kinds)}" if kinds else "")
    assert parse_table(text, load_catalog()) == ref


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sessions", TableRef("sessions")),
        ("ai.sessions", TableRef("sessions", "ai")),
        ("ai.sessions=agent,team", TableRef("sessions", "ai", ("agent", "team"))),
        ("My Sessions=agent", TableRef("My Sessions", None, ("agent",))),
        ('"a.b"."c=d"=team', TableRef("c=d", "a.b", ("team",))),
        ('"say ""hi"""', TableRef('say "hi"')),
    ],
)
def test_tables_are_read_as_the_contract_writes_them(text: str, expected: TableRef, catalog: Catalog) -> None:
    assert parse_table(text, catalog) == expected


@pytest.mark.parametrize("text", ["", "a.b.c", "a=", "=agent", 'a"b', "a\0b", '"a', "a.b=", "a==agent", "a=agent,"])
def test_what_cannot_be_read_is_refused_with_a_way_out(text: str, catalog: Catalog) -> None:
    with pytest.raises(BadTableName, match="double quotes") as caught:
        parse_table(text, catalog)
    assert caught.value.exit_code == 64


def test_a_mistyped_kind_meets_a_suggestion(catalog: Catalog) -> None:
    with pytest.raises(UnknownKind, match="Did you mean agent?"):
        parse_table("sessions=agnet", catalog)
