from __future__ import annotations

import json

import pytest

from storage_admin.catalog import Catalog
from storage_admin.dialects import DIALECTS
from storage_admin.errors import KindNotInVersion, NotReleasedYet, UnknownRelease, UnknownVersion
from storage_admin.storage.releases import version_at
from tests.shapes import DATA, Shape, released_shapes

FACTS = {entry["id"]: entry for entry in json.loads((DATA / "session-tables.json").read_text())}
SQLITE, POSTGRES, MYSQL = (DIALECTS[name] for name in ("sqlite", "postgresql", "mysql"))


@pytest.mark.parametrize("shape", released_shapes(), ids=lambda shape: shape.id)
def test_each_release_made_what_its_version_says(shape: Shape, catalog: Catalog) -> None:
    dialect = DIALECTS[shape.dialect]
    for release in {shape.first_release, shape.last_release}:
        version = version_at(release.replace("-", " "), shape.kinds, catalog, dialect)
        target = catalog.target_for(shape.kinds, version, dialect.name)
        columns = {(column.name, dialect.types[column.type].sql.lower()) for column in target.columns}
        assert columns == set(shape.columns)
        made = {tuple(index["columns"]) for index in FACTS[shape.id]["indexes"]}
        assert {index.columns for index in target.indexes} == made


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("1.1.10", 4),
        ("agno 1.1.10", 4),
        ("agno==1.2", 7),
        ("Agno-1.8.4", 10),
        ("v0.0.2", 4),
        ("phidata 2.5.0", 1),
        ("phidata 2.7.10", 3),
        (6, 6),
    ],
)
def test_a_release_is_written_in_many_ways(text: str | int, version: int, catalog: Catalog) -> None:
    assert version_at(text, ["agent"], catalog, SQLITE) == version


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("agno 1.1.x", "Did you mean 'agno 1.1."),
        ("2.5.21", "Did you mean 'phidata 2.5.21'"),
        ("agno 2.0.0", "agno 2 and later keep other tables"),
        ("phidata 2.4.0", "phidata began with phidata 2.5.0"),
        ("phidata 3.0", "phidata ended with 2.7"),
        ("", "cannot be read"),
    ],
)
def test_a_release_that_is_none_is_refused_with_a_suggestion(text: str, said: str, catalog: Catalog) -> None:
    with pytest.raises(UnknownRelease, match=said):
        version_at(text, ["agent"], catalog, SQLITE)


@pytest.mark.parametrize("text", ["2.0.0", "2.4", "2.8.1"])
def test_no_release_is_proposed_that_there_is_not(text: str, catalog: Catalog) -> None:
    with pytest.raises(UnknownRelease) as refused:
        version_at(text, ["agent"], catalog, SQLITE)
    assert "Did you mean" not in str(refused.value)


def test_what_a_release_did_not_make_names_the_first_one_that_did(catalog: Catalog) -> None:
    with pytest.raises(NotReleasedYet, match=r"1\.1\.10 made no tables for team; .* is agno 1\.1\.14"):
        version_at("1.1.10", ["team"], catalog, POSTGRES)
    with pytest.raises(NotReleasedYet, match=r"made no tables for MySQL; .* is agno 1\.7\.2"):
        version_at("1.2.0", ["agent"], catalog, MYSQL)
    with pytest.raises(KindNotInVersion):
        version_at(4, ["team"], catalog, SQLITE)
    with pytest.raises(UnknownVersion):
        version_at(99, ["agent"], catalog, SQLITE)
