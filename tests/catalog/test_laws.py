"""Laws of the catalogue, generated from it: a new version file is covered without another line here."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from storage_admin.catalog import CHECKSUMS, Catalog, default_folder, load_catalog
from storage_admin.dialects import DIALECTS
from storage_admin.errors import (
    CatalogError,
    KindNotInVersion,
    ReleasedFileChanged,
    UnknownKind,
    UnknownVersion,
    UnsupportedDatabase,
)

CATALOG = load_catalog()
FOLDER = default_folder()
each_version = pytest.mark.parametrize("number", range(1, CATALOG.head + 1))
each_step = pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        (kind, one[0], other[0])
        for kind in CATALOG.kinds
        for one, other in zip(CATALOG.definitions(kind), CATALOG.definitions(kind)[1:], strict=False)
    ],
)

TIMELINE = [  # docs/design.md; facts from the released code
    (1, "phidata 2.5.0", ["agent"]),
    (2, "phidata 2.5.21", ["workflow"]),
    (3, "phidata 2.6.0", ["workflow"]),
    (4, "agno 0.0.2", ["agent", "workflow"]),
    (5, "agno 1.1.11", ["agent", "workflow"]),
    (6, "agno 1.1.14", ["agent", "team"]),
    (7, "agno 1.2.0", ["agent", "team"]),
    (8, "agno 1.7.4", ["workflow_v2"]),
    (9, "agno 1.7.6", ["workflow_v2"]),
    (10, "agno 1.7.7", ["workflow_v2"]),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copy = tmp_path / "versions"
    shutil.copytree(FOLDER, copy)
    return copy


# --- laws --------------------------------------------------------------------------------------------------


@each_version
def test_every_version_says_what_it_is(number: int) -> None:
    version = CATALOG.version(number)
    assert version.number == number
    assert version.summary.endswith(".")
    assert version.changed


@each_step
def test_a_kind_only_grows_unless_something_is_declared_retired(kind: str, old: int, new: int) -> None:
    before, after = CATALOG.version(old).kinds[kind], CATALOG.version(new).kinds[kind]
    retired_columns, retired_indexes = CATALOG.retired([kind], new)
    assert before.column_names - after.column_names <= retired_columns
    assert {i.columns for i in before.indexes} - {i.columns for i in after.indexes} <= retired_indexes


@each_version
@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_type_and_default_is_known_to_every_database(number: int, dialect: str) -> None:
    for schema in CATALOG.version(number).kinds.values():
        for column in schema.columns:
            definition = DIALECTS[dialect].types[column.type]
            assert DIALECTS[dialect].is_of_type(definition.sql, column.type)


@each_version
def test_all_kinds_fit_into_one_table(number: int) -> None:
    kinds = tuple(CATALOG.version(number).kinds)
    union = CATALOG.target_for(kinds, number, "postgresql")
    assert len(union.columns) == len(union.column_names)
    for kind in kinds:
        assert CATALOG.target_for((kind,), number, "postgresql").column_names <= union.column_names


def test_the_timeline_is_the_one_of_the_releases() -> None:
    known = [(v.number, v.released, list(v.changed)) for v in CATALOG.versions]
    assert known[: len(TIMELINE)] == TIMELINE


def test_released_files_are_as_they_were_released() -> None:
    unreleased = CATALOG.verify()
    assert set(unreleased).isdisjoint(version.file for version in CATALOG.versions[: len(TIMELINE)])


def test_a_changed_released_file_is_named(folder: Path) -> None:
    file = folder / "003_workflow_session_state.toml"
    file.write_text(file.read_text().replace("moves", "wanders"))
    with pytest.raises(ReleasedFileChanged, match="003_workflow_session_state.toml"):
        load_catalog(folder).verify()


def test_a_new_file_is_not_released_before_it_is_in_the_list(folder: Path) -> None:
    number = CATALOG.head + 1
    name = f"{number:03}_more.toml"
    (folder / name).write_text((folder / CATALOG.versions[-1].file).read_text())
    assert name in load_catalog(folder).verify()
    assert (folder / CHECKSUMS).exists()


# --- look-ups ----------------------------------------------------------------------------------------------


def test_what_the_catalogue_does_not_have_is_named(catalog: Catalog) -> None:
    with pytest.raises(UnknownVersion, match=f"it goes from 1 to {catalog.head}"):
        catalog.version(99)
    with pytest.raises(UnknownKind, match="Did you mean workflow"):
        catalog.known_kind("workflov")
    with pytest.raises(KindNotInVersion, match="team does not exist in version 5: it appears with version 6"):
        catalog.target_for(("team",), 5, "postgresql")
    with pytest.raises(UnsupportedDatabase, match="oracle is not supported"):
        catalog.target_for(("agent",), 5, "oracle")
    assert catalog.target_for(("agent",), 5, "mariadb") == catalog.target_for(("agent",), 5, "mysql")


# --- mistakes in a file ------------------------------------------------------------------------------------

GOOD = """
summary = "Something more."
released = "agno 9"
[note.columns]
session_id = { type = "string", primary_key = true }
text = { type = "text" }
"""


@pytest.mark.parametrize(
    ("text", "place", "problem"),
    [
        (GOOD.replace("[note.columns]", "[note.columns"), "TOML", "line 4"),
        (GOOD.replace('summary = "Something more."', ""), "summary", "a text is needed"),
        (GOOD.replace('"agno 9"', "9"), "released", "a text is needed"),
        ('summary = "x"\nreleased = "y"', "file", "defines no kind"),
        (GOOD.replace('"text" }', '"texxt" }'), "note.columns", "texxt"),
        (GOOD.replace('"text" }', '"text", nullable = true }'), "note.columns", "nullable"),
        (GOOD.replace('"text" }', '"text", default = "later" }'), "note.columns.text.default", "only default is now"),
        (GOOD.replace(", primary_key = true", ""), "note.columns", "primary_key"),
        (GOOD.replace("[note.columns]", "[Note.columns]"), "Note", "lower-case"),
        (GOOD + '[note.indexes]\ntext = { columns = ["txt"] }', "note.indexes.text.columns", "no such column: txt"),
        (GOOD + '[note.indexes]\ntext = { columns = ["text"], name = "{tabel}" }', "note.indexes.text.name", "{table}"),
        (GOOD + "[note.retired]\ncolumns = ['gone']", "note.retired.columns", "gone"),
        (GOOD.replace("note.", "agent."), "agent.columns", "is gone; a version only adds"),
        (GOOD + 'memory = { type = "text" }', "note.columns.memory", "agent defines this column otherwise"),
        (GOOD + "[note.extras]\nx = 1", "note", "extras"),
    ],
)
def test_a_mistake_is_named_with_its_file_and_place(folder: Path, text: str, place: str, problem: str) -> None:
    name = f"{CATALOG.head + 1:03}_note.toml"
    (folder / name).write_text(text)
    with pytest.raises(CatalogError) as caught:
        load_catalog(folder)
    message = str(caught.value)
    assert message.startswith(f"{name}: {place}")
    assert problem in message


def test_a_good_file_is_read(folder: Path) -> None:
    (folder / f"{CATALOG.head + 1:03}_note.toml").write_text(GOOD)
    assert "note" in load_catalog(folder).kinds


@pytest.mark.parametrize(
    ("name", "problem"),
    [("099_gap.toml", "is expected here"), ("11_short.toml", "NNN_name.toml"), ("x.toml", "NNN_name")],
)
def test_a_gap_or_a_wrong_file_name_is_refused(folder: Path, name: str, problem: str) -> None:
    (folder / name).write_text(GOOD)
    with pytest.raises(CatalogError, match=problem):
        load_catalog(folder)


def test_an_empty_folder_is_no_catalogue(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="no version files"):
        load_catalog(tmp_path)
