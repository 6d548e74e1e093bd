"""`storage_admin.upgrade_schema(obj)`: Agno's own storage objects, for an application that cannot change its import."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from agno.storage.json import JsonStorage

from storage_admin import Status, StorageAdminError, upgrade_schema
from storage_admin.errors import NotAStorage, SchemaDrifted
from tests.compat.agents import make
from tests.compat.continuity import fill, one_more_run, opened_as, storage_of
from tests.compat.test_continuity import SHAPES, Opener, database_of, every_shape
from tests.compat.wheels import RELEASES, run_client
from tests.conftest import Database
from tests.integration.tables import old_agents
from tests.shapes import Shape

__all__ = ["database_of"]  # the fixture
assert SHAPES


@every_shape
def test_after_it_agnos_own_class_goes_on_with_every_old_conversation(
    shape: Shape, database_of: Opener, openai: str
) -> None:
    database = database_of(shape)
    for kind in opened_as(shape):
        for mode in (kind, None):
            fill(database, shape, kind)
            opened = partial(agnos, database, shape, {"mode": mode} if mode else {})
            upgrade_schema(make(kind, opened(), openai, "s1").storage, kind=None if mode else kind)
            verdict = one_more_run(database, shape, kind, opened, openai)
            # Its second-generation workflow wipes session_data on any table, and its rename with it.
            fine = (verdict.old_runs, verdict.new_runs, verdict.raised) == (2, 1, "")
            assert verdict.fine or (kind == "workflow_v2" and fine), (kind, mode, str(verdict))


def agnos(database: Database, shape: Shape, options: dict[str, Any]) -> Any:
    storage = storage_of(database, shape, ours=False, auto=False, **options)
    database.engines.append(storage.db_engine)
    return storage


def test_it_says_what_it_did_and_does_nothing_the_second_time(database: Database) -> None:
    old_agents(database)
    storage = agnos(database, SHAPES[0], {})
    storage.table_name = "sessions"
    first, second = upgrade_schema(storage), upgrade_schema(storage)
    assert any("team_session_id" in statement for statement in first.statements)
    assert (second.changed, second.plan.status) == (False, Status.CURRENT)
    assert upgrade_schema(database.storage()).plan.status is Status.CURRENT


def test_what_has_no_table_is_refused_in_words(database: Database, openai: str, tmp_path: Path) -> None:
    with pytest.raises(NotAStorage, match="An object of type JsonStorage is no storage with a table"):
        upgrade_schema(JsonStorage(dir_path=tmp_path))
    with pytest.raises(NotAStorage, match="type Agent is no storage .* Give its .storage"):
        upgrade_schema(make("agent", database.storage(), openai, "s1"))


def test_a_table_that_cannot_be_upgraded_raises_its_own_error(postgres: Database) -> None:
    postgres.run("CREATE SCHEMA ai")
    old_agents(postgres)
    postgres.run("ALTER TABLE ai.sessions ALTER COLUMN memory TYPE text")
    storage = agnos(postgres, SHAPES[0], {})
    storage.table_name = "sessions"
    with pytest.raises(SchemaDrifted):
        upgrade_schema(storage)
    assert issubclass(SchemaDrifted, StorageAdminError)


@pytest.mark.parametrize("release", [r for r in RELEASES if r.startswith("agno==1")])
def test_it_upgrades_the_objects_of_every_release(
    release: str, postgres: Database, sqlite: Database, tmp_path: Path
) -> None:
    [kinds] = run_client(release, [{"do": "kinds"}], tmp_path)
    for database in (postgres, sqlite):
        old_agents_everywhere(database, kinds)
    jobs = [
        {
            "do": "upgrade",
            "backend": database.dialect.name,
            "url": database.dsn if database.dialect.name == "sqlite" else database.url.replace("://", "+psycopg://"),
            "kind": kind,
            "switched": False,
            "table": f"{kind}_old",
        }
        for database in (postgres, sqlite)
        for kind in kinds
    ]
    run_client(release, jobs, tmp_path)
    for database in (postgres, sqlite):
        names = [f"{database.table(f'{kind}_old')}={kind}" for kind in kinds]
        assert database.admin().check(names).status is Status.CURRENT


def old_agents_everywhere(database: Database, kinds: list[str]) -> None:
    admin = database.admin()
    for kind in kinds:
        admin.upgrade([f"{database.table(f'{kind}_old')}={kind}"], to=admin.catalog.first_version([kind]))
