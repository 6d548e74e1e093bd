from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, strategies as st

from storage_admin.catalog import Catalog, load_catalog
from storage_admin.changes import AddColumn, CreateIndex, ExtraColumn, RebuildIndex, SetDefault, Status
from storage_admin.compare import Identity, compare, identify, plan_between, plan_new, with_named
from storage_admin.dialects import POSTGRES, SQLITE, Dialect
from storage_admin.schema import LiveColumn, LiveIndex, LiveTable, Shape, TableName
from tests.unit.shapes import NAME, applied, made_by

CATALOG = load_catalog()
dialects = st.sampled_from([POSTGRES, SQLITE])


@st.composite
def kinds_at_a_version(draw: st.DrawFn) -> tuple[tuple[str, ...], int]:
    kinds = draw(st.lists(st.sampled_from(CATALOG.kinds), min_size=1, unique=True))
    return tuple(kinds), draw(st.integers(CATALOG.first_version(kinds), CATALOG.head))


def changed(live: LiveTable, **shape: object) -> LiveTable:
    return msgspec.structs.replace(live, shape=msgspec.structs.replace(live.shape, **shape))


# --- laws --------------------------------------------------------------------------------------------------


@given(made=kinds_at_a_version(), to=st.integers(1, CATALOG.head), dialect=dialects)
def test_what_a_plan_leaves_needs_no_other_plan(made: tuple[tuple[str, ...], int], to: int, dialect: Dialect) -> None:
    kinds, version = made
    live = made_by(CATALOG, dialect, kinds, version)
    plan = compare(live, kinds, CATALOG, dialect, to=max(to, version))
    after = compare(applied(plan, dialect), kinds, CATALOG, dialect, to=max(to, version))
    assert (after.status, after.changes, after.drifts) == (Status.CURRENT, (), ())


@given(made=kinds_at_a_version(), dialect=dialects)
def test_a_table_of_a_version_is_recognised_as_of_that_version(
    made: tuple[tuple[str, ...], int], dialect: Dialect
) -> None:
    kinds, version = made
    live = made_by(CATALOG, dialect, kinds, version)
    # Named or not, the same kinds are found; only workflow_v2 looked like workflow at first.
    assert with_named(identify(live.shape, CATALOG, dialect), kinds, CATALOG) == with_named(
        Identity(()), kinds, CATALOG
    )
    found = compare(live, kinds, CATALOG, dialect).version
    assert found is not None
    assert found == CATALOG.head or asks_for(kinds, found, dialect) == asks_for(kinds, version, dialect)


def asks_for(kinds: tuple[str, ...], version: int, dialect: Dialect) -> tuple[object, object]:
    target = CATALOG.target_for(kinds, version, dialect.name)
    columns = {(column.name, dialect.default_sql(column.default)) for column in target.columns}
    return columns, {index.columns for index in target.indexes}


@given(made=kinds_at_a_version(), dialect=dialects, name=st.text(min_size=1, max_size=20))
def test_extra_columns_are_kept_and_change_nothing(
    made: tuple[tuple[str, ...], int], dialect: Dialect, name: str
) -> None:
    kinds, version = made
    live = made_by(CATALOG, dialect, kinds, version)
    every = {
        column for kind in CATALOG.kinds for _, schema in CATALOG.definitions(kind) for column in schema.column_names
    }
    if dialect.fold(name) in every:
        return
    extra = LiveColumn(name, "tsvector", nullable=True)
    more = changed(live, columns=(*live.shape.columns, extra))
    before, after = compare(live, kinds, CATALOG, dialect), compare(more, kinds, CATALOG, dialect)
    assert (after.changes, after.drifts, after.version) == (before.changes, before.drifts, before.version)
    assert ExtraColumn(extra, retired=False) in after.extras


@given(made=kinds_at_a_version(), dialect=dialects)
def test_a_new_table_has_what_an_upgraded_one_gets(made: tuple[tuple[str, ...], int], dialect: Dialect) -> None:
    kinds, version = made
    fresh = applied(plan_new(NAME, kinds, CATALOG, dialect), dialect)
    upgraded = applied(compare(made_by(CATALOG, dialect, kinds, version), kinds, CATALOG, dialect), dialect)
    assert set(fresh.shape.columns) <= set(upgraded.shape.columns)
    assert {index.columns for index in fresh.shape.indexes} <= {index.columns for index in upgraded.shape.indexes}


# --- kinds and versions ------------------------------------------------------------------------------------


def test_a_retiring_version_does_not_claim_the_tables_of_the_one_before() -> None:
    live = made_by(CATALOG, POSTGRES, ("workflow",), 2)
    assert compare(live, ("workflow",), CATALOG, POSTGRES).version == 2


def test_the_index_that_version_5_dropped_tells_version_4_from_it() -> None:
    live = made_by(CATALOG, POSTGRES, ("agent",), 4)
    assert compare(live, ("agent",), CATALOG, POSTGRES).version == 4
    assert compare(live, ("agent",), CATALOG, POSTGRES, to=5).changes == ()


def test_the_first_workflow_v2_tables_count_as_workflow_unless_they_are_named() -> None:
    live = made_by(CATALOG, POSTGRES, ("workflow_v2",), 8)
    identity = identify(live.shape, CATALOG, POSTGRES)
    assert (identity.kinds, identity.alternatives) == (("workflow",), ("workflow_v2",))
    assert with_named(identity, ("workflow_v2",), CATALOG) == ("workflow_v2",)
    plan = compare(live, ("workflow_v2",), CATALOG, POSTGRES, to=10)
    assert [change.column.name for change in plan.changes if isinstance(change, AddColumn)] == ["workflow_name", "runs"]


def test_kinds_that_are_named_join_those_that_are_found() -> None:
    identity = identify(made_by(CATALOG, POSTGRES, ("agent",), 7).shape, CATALOG, POSTGRES)
    assert with_named(identity, ("team",), CATALOG) == ("agent", "team")


@pytest.mark.parametrize(
    "columns",
    [
        "session_id user_id data expires_at",
        "session_id agent_id user_id payload created_at",
        # agno 2: one table for all kinds, without memory and extra_data
        (
            "session_id session_type agent_id team_id workflow_id user_id session_data agent_data team_data "
            "workflow_data metadata runs summary created_at updated_at"
        ),
    ],
)
def test_other_tables_with_a_session_id_are_not_ours(columns: str) -> None:
    shape = Shape(tuple(LiveColumn(name, "text", nullable=True) for name in columns.split()), ("session_id",))
    identity = identify(shape, CATALOG, POSTGRES)
    assert identity.kinds == ()
    assert identity.resemblance is not None
    assert not identity.resemblance.near


def test_a_column_dropped_by_hand_is_told_from_a_table_of_somebody_else() -> None:
    live = made_by(CATALOG, POSTGRES, ("agent",), CATALOG.head)
    shape = msgspec.structs.replace(
        live.shape, columns=tuple(column for column in live.shape.columns if column.name != "user_id")
    )
    resemblance = identify(shape, CATALOG, POSTGRES).resemblance
    assert resemblance is not None
    assert (resemblance.near, resemblance.kind, resemblance.missing) == (True, "agent", ("user_id",))


def test_a_table_beyond_the_wanted_version_is_left_alone() -> None:
    live = made_by(CATALOG, POSTGRES, ("agent",), CATALOG.head)
    plan = compare(live, ("agent",), CATALOG, POSTGRES, to=4)
    assert (plan.changes, plan.status, plan.target_version) == ((), Status.CURRENT, CATALOG.head)


# --- changes -----------------------------------------------------------------------------------------------


def test_a_workflow_of_agno_1_1_10_gets_the_default_that_agno_1_8_4_relies_on() -> None:
    live = made_by(CATALOG, POSTGRES, ("workflow",), 4)
    changes = compare(live, ("workflow",), CATALOG, POSTGRES).changes
    assert [change.column.name for change in changes if isinstance(change, SetDefault)] == ["created_at"]


def test_an_index_counts_by_its_columns_and_not_by_its_name() -> None:
    live = msgspec.structs.replace(made_by(CATALOG, POSTGRES, ("agent",), CATALOG.head), index_names=tuple("abcdefgh"))
    assert compare(live, ("agent",), CATALOG, POSTGRES).status is Status.CURRENT


@pytest.mark.parametrize("useless", [LiveIndex(("user_id",), plain=False), LiveIndex(("user_id", "agent_id"))])
def test_an_index_on_part_of_the_rows_or_on_other_columns_does_not_count(useless: LiveIndex) -> None:
    live = made_by(CATALOG, POSTGRES, ("agent",), CATALOG.head)
    indexes = tuple(useless if index.columns == ("user_id",) else index for index in live.shape.indexes)
    changes = compare(changed(live, indexes=indexes), ("agent",), CATALOG, POSTGRES).changes
    assert [change.index.columns for change in changes if isinstance(change, CreateIndex)] == [("user_id",)]


def test_an_invalid_index_is_rebuilt_under_its_own_name() -> None:
    live = made_by(CATALOG, POSTGRES, ("agent",), CATALOG.head)
    indexes = tuple(msgspec.structs.replace(index, valid=index.columns != ("user_id",)) for index in live.shape.indexes)
    plan = compare(changed(live, indexes=indexes), ("agent",), CATALOG, POSTGRES)
    [change] = plan.changes
    assert isinstance(change, RebuildIndex)
    assert change.name == "ix_ai_sessions_user_id"
    assert not plan.extras


def test_a_new_index_takes_another_name_when_its_own_is_taken() -> None:
    live = made_by(CATALOG, POSTGRES, ("agent",), 6)
    taken = [TableName("ai", "ix_ai_sessions_team_session_id"), TableName("other", "ix_ai_sessions_team_session_id_1")]
    plan = compare(live, ("agent",), CATALOG, POSTGRES, to=10, taken=taken)
    assert [c.name for c in plan.changes if isinstance(c, CreateIndex)] == ["ix_ai_sessions_team_session_id_1"]


def test_a_plan_without_a_database_starts_where_it_is_told(catalog: Catalog) -> None:
    plan = plan_between(NAME, ("agent",), catalog, POSTGRES, start=1, to=10)
    assert (plan.version, plan.target_version) == (1, 10)
    assert plan_between(NAME, ("agent",), catalog, POSTGRES, start=0).status is Status.MISSING


# --- drift -------------------------------------------------------------------------------------------------


def with_column(live: LiveTable, name: str, **facts: object) -> LiveTable:
    columns = tuple(msgspec.structs.replace(c, **facts) if c.name == name else c for c in live.shape.columns)
    return changed(live, columns=columns)


@pytest.mark.parametrize(
    ("column", "facts", "words"),
    [
        ("created_at", {"type": "integer"}, "column created_at is INTEGER, expected BIGINT"),
        ("memory", {"type": "json"}, "column memory is JSON, expected JSONB"),
        ("session_id", {"type": "uuid"}, "column session_id is UUID, expected VARCHAR"),
        ("user_id", {"nullable": False}, "column user_id is NOT NULL, but sessions are stored without a value for it"),
        ("agent_id", {"generated": True}, "column agent_id is generated by the database, so it cannot be written"),
    ],
)
def test_a_wrong_column_is_drift_in_words(column: str, facts: dict[str, object], words: str) -> None:
    live = with_column(made_by(CATALOG, POSTGRES, ("agent",), 4), column, **facts)
    plan = compare(live, ("agent",), CATALOG, POSTGRES)
    assert plan.status is Status.DRIFTED
    assert [str(drift) for drift in plan.drifts] == [words]
    assert not plan.runnable


@pytest.mark.parametrize("text", ["text", "character varying(255)", "VARCHAR", "TEXT"])
def test_strings_are_strings_whatever_they_are_called(text: str) -> None:
    live = with_column(made_by(CATALOG, POSTGRES, ("agent",), CATALOG.head), "user_id", type=text)
    assert compare(live, ("agent",), CATALOG, POSTGRES).status is Status.CURRENT


def test_a_created_at_that_is_not_null_but_has_its_default_is_fine() -> None:
    live = with_column(made_by(CATALOG, POSTGRES, ("agent",), CATALOG.head), "created_at", nullable=False)
    assert compare(live, ("agent",), CATALOG, POSTGRES).status is Status.CURRENT


def test_an_extra_column_that_no_insert_fills_is_drift_and_one_with_a_default_is_not() -> None:
    live = made_by(CATALOG, POSTGRES, ("agent",), CATALOG.head)
    bad = changed(live, columns=(*live.shape.columns, LiveColumn("tenant", "text", nullable=False)))
    good = changed(live, columns=(*live.shape.columns, LiveColumn("tenant", "text", nullable=False, default="''")))
    assert "every insert fails" in str(compare(bad, ("agent",), CATALOG, POSTGRES).drifts[0])
    assert compare(good, ("agent",), CATALOG, POSTGRES).status is Status.CURRENT


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ((), "the primary key (session_id) is missing"),
        (("user_id",), "the primary key is (user_id), expected (session_id)"),
    ],
)
def test_a_missing_or_wrong_primary_key_is_drift(key: tuple[str, ...], words: str) -> None:
    live = changed(made_by(CATALOG, POSTGRES, ("agent",), CATALOG.head), primary_key=key)
    assert [str(drift) for drift in compare(live, ("agent",), CATALOG, POSTGRES).drifts] == [words]


def test_a_table_recorded_by_a_newer_catalogue_is_ahead_and_gets_no_changes() -> None:
    live = made_by(CATALOG, POSTGRES, ("agent",), 4)
    plan = compare(live, ("agent",), CATALOG, POSTGRES, recorded=CATALOG.head + 1)
    assert (plan.status, plan.changes, plan.runnable) == (Status.AHEAD, (), False)


def test_sqlite_compares_names_without_their_case() -> None:
    live = made_by(CATALOG, SQLITE, ("agent",), CATALOG.head)
    shouted = changed(
        live,
        columns=tuple(msgspec.structs.replace(c, name=c.name.upper()) for c in live.shape.columns),
        primary_key=("SESSION_ID",),
        indexes=tuple(LiveIndex(tuple(n.upper() for n in i.columns)) for i in live.shape.indexes),
    )
    assert identify(shouted.shape, CATALOG, SQLITE).kinds == ("agent",)
    plan = compare(shouted, ("agent",), CATALOG, SQLITE)
    assert (plan.status, plan.extras) == (Status.CURRENT, ())
