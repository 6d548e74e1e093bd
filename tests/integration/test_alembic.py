"""Session tables beside an application that Alembic migrates."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Database
from tests.integration.alembic_projects import Project

IMPORT = "from storage_admin.integrations import alembic as neighbours"
MODEL = "Table('sessions', metadata, Column('session_id', Text, primary_key=True), Column('mine', Text){schema})"
OWN = """
def own_object(item, name, type_, reflected, compare_to):
    return not (type_ == "table" and name == "legacy")

def own_name(name, type_, parents):
    return not (type_ == "table" and name == "unread")
"""


@pytest.fixture(params=["postgres", "sqlite"])
def database(request: pytest.FixtureRequest) -> Database:
    found: Database = request.getfixturevalue(request.param)
    ai = found.table("sessions")
    found.admin().upgrade([f"{ai}=agent", f"{found.table('teams')}=team,agent"], to=6)
    found.run("CREATE TABLE legacy (id integer PRIMARY KEY); CREATE TABLE unread (id integer PRIMARY KEY)")
    return found


def test_autogenerate_drops_session_tables_without_us(database: Database, tmp_path: Path) -> None:
    found = Project(tmp_path, database).autogenerate()
    for name in ("sessions", "teams", "storage_admin_revisions", "legacy"):
        assert f"op.drop_table('{name}'" in found


def test_autogenerate_leaves_session_tables_and_the_log_alone(database: Database, tmp_path: Path) -> None:
    project = Project(tmp_path, database, imports=IMPORT, options="include_object=neighbours.include_object")
    found = project.autogenerate()
    assert {line.split("(")[1].strip("'").split("'")[0] for line in found.splitlines()} == {
        "orders",
        "legacy",
        "unread",
    }


def test_an_include_object_of_the_application_is_asked_too(database: Database, tmp_path: Path) -> None:
    option = "include_object=neighbours.without_session_tables(own_object)"
    found = Project(tmp_path, database, imports=IMPORT + OWN, options=option).autogenerate()
    assert "drop_table('unread')" in found
    assert "legacy" not in found
    assert "session" not in found


def test_a_model_for_a_session_table_changes_nothing_in_it(database: Database, tmp_path: Path) -> None:
    model = MODEL.format(schema=", schema='ai'" if database.dialect.has_schemas else "")
    plain = Project(tmp_path / "plain", database, models=model).autogenerate()
    assert "add_column('sessions'" in plain
    for number, option in enumerate(
        ("include_object=neighbours.include_object", "**neighbours.beside_session_tables(connection)")
    ):
        folder = tmp_path / str(number)
        found = Project(folder, database, imports=IMPORT, models=model, options=option).autogenerate()
        assert "'sessions'" not in found
        assert "create_table('orders'" in found


def test_session_tables_are_looked_for_once_and_hooks_of_the_application_are_asked_too(
    database: Database, tmp_path: Path
) -> None:
    option = "**neighbours.beside_session_tables(connection, include_object=own_object, include_name=own_name)"
    project = Project(tmp_path, database, imports=IMPORT + OWN, options=option)
    assert [line.strip() for line in project.autogenerate().splitlines()] == ["op.create_table('orders',"]
    project.upgrade()
    assert not project.autogenerate()
    # The look of ours has not kept Alembic from ending its own transaction.
    assert database.run("SELECT count(*) FROM orders") == [(0,)]
