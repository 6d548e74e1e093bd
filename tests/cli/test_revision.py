"""storage-admin revision."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.cli.conftest import Result
from tests.conftest import Database
from tests.integration.alembic_projects import Project
from tests.integration.tables import old_agents
from tests.shapes import ODD_NAMES

Call = Callable[..., Result]
HOOKS = "from storage_admin.integrations import alembic as neighbours"
OPTION = "include_object=neighbours.include_object"


def project_with_a_revision(folder: Path, database: Database) -> Project:
    """An application that has made its own table, and leaves ours alone."""
    project = Project(folder, database, imports=HOOKS, options=OPTION)
    project.autogenerate("orders")
    project.upgrade()
    return project


def last(project: Project) -> str:
    return project.versions[-1].read_text()


def test_a_revision_brings_the_tables_up_and_autogenerate_has_nothing_to_add(
    call: Call, database: Database, tmp_path: Path
) -> None:
    old_agents(database)
    project = project_with_a_revision(tmp_path, database)
    [head] = project.heads()
    script = call("plan", "--sql", "--db-url", database.url).out
    made = call("revision", "--alembic", str(tmp_path), "--db-url", database.url)
    assert (made.code, made.out) == (0, f"{project.versions[-1].relative_to(tmp_path)}\n")
    assert call("check", "--db-url", database.url).code == 2
    assert f"down_revision: Union[str, Sequence[str], None] = '{head}'" in last(project)
    project.upgrade()
    assert call("check", "--db-url", database.url).code == 0
    assert not project.autogenerate()
    statements = executed(tmp_path / made.out.strip())
    assert statements
    assert all(f"\n{statement};" in script for statement in statements)
    assert len(statements) == len([line for line in script.splitlines() if line.startswith(("ALTER", "CREATE"))])


def executed(file: Path) -> list[str]:
    calls = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
    return [ast.literal_eval(call.args[0]) for call in calls if ast.unparse(call.func) == "op.execute"]


def test_nothing_is_written_where_nothing_is_pending(call: Call, sqlite: Database, tmp_path: Path) -> None:
    sqlite.admin().upgrade(["sessions=agent"])
    project = Project(tmp_path, sqlite)
    before = sorted(tmp_path.rglob("*"))
    result = call("revision", "--alembic", str(tmp_path), "--db-url", sqlite.url)
    assert (result.code, result.out) == (0, "")
    assert "No file was written." in result.err
    assert sorted(tmp_path.rglob("*")) == before
    assert not project.versions


def test_a_second_revision_with_the_same_statements_is_refused(call: Call, sqlite: Database, tmp_path: Path) -> None:
    old_agents(sqlite)
    project = Project(tmp_path, sqlite)
    assert call("revision", "--alembic", str(tmp_path), "--db-url", sqlite.url).code == 0
    again = call("revision", "--alembic", str(tmp_path), "--db-url", sqlite.url)
    assert again.code == 64
    assert f"{project.versions[0]} holds some of these statements already" in again.err
    assert "Let that one run" in again.err
    assert len(project.versions) == 1


def test_what_was_taken_away_after_its_revision_had_run_is_written_again_where_that_is_said(
    call: Call, database: Database, tmp_path: Path
) -> None:
    old_agents(database)
    project = project_with_a_revision(tmp_path, database)
    command = ("revision", "--alembic", str(tmp_path), "--db-url", database.url)
    assert call(*command).code == 0
    project.upgrade()
    assert "No file was written." in call(*command).err
    if database.dialect.name == "sqlite":
        database.run("DROP INDEX ix_sessions_team_session_id")
    database.run(f"ALTER TABLE {database.table('sessions')} DROP COLUMN team_session_id")
    again = call(*command)
    assert again.code == 64
    assert "and has run in" in again.err
    assert "--again" in again.err
    assert call(*command, "--again").code == 0
    project.upgrade()
    assert call("check", "--db-url", database.url).code == 0


def test_of_several_heads_one_is_named(call: Call, sqlite: Database, tmp_path: Path) -> None:
    old_agents(sqlite)
    project = Project(tmp_path, sqlite)
    for name in ("left", "right"):
        revision = f'"""The {name} one."""\nrevision = "{name}1"\ndown_revision = None\n'
        (tmp_path / "migrations" / "versions" / f"{name}.py").write_text(revision)
    arguments = ("revision", "--alembic", str(tmp_path), "--db-url", sqlite.url)
    refused = call(*arguments)
    assert refused.code == 64
    assert "left1 (The left one.)" in refused.err
    assert "right1 (The right one.)" in refused.err
    wrong = call(*arguments, "--head", "middle1")
    assert (wrong.code, "'middle1' is no head" in wrong.err) == (64, True)
    made = call(*arguments, "--head", "right1", "-m", "Sessions of agents")
    assert made.code == 0
    assert "down_revision: Union[str, Sequence[str], None] = 'right1'" in (tmp_path / made.out.strip()).read_text()
    assert made.out.endswith("_sessions_of_agents.py\n")
    assert "left1" in project.heads()


def test_an_index_of_a_large_table_is_built_outside_the_transaction_in_a_revision_of_its_own(
    call: Call, postgres: Database, tmp_path: Path
) -> None:
    postgres.run("CREATE SCHEMA ai")
    table = old_agents(postgres)
    postgres.run(
        f"INSERT INTO {table} (session_id, user_id) SELECT n::text, repeat('x', 900) FROM generate_series(1, 10000) n"
    )
    project = Project(tmp_path, postgres)
    made = call("revision", "--alembic", str(tmp_path), "--db-url", postgres.url)
    columns, indexes = [(tmp_path / name).read_text() for name in made.out.splitlines()]
    assert "ADD COLUMN team_session_id" in columns
    assert "INDEX" not in columns
    assert "    with op.get_context().autocommit_block():\n" in indexes
    assert "CREATE INDEX CONCURRENTLY" in indexes
    project.upgrade()
    assert call("check", "--db-url", postgres.url).code == 0


@pytest.mark.parametrize("fixture", ["postgres", "sqlite"])
def test_any_name_runs_as_it_is_and_is_code_as_black_writes_it(
    call: Call, fixture: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    database: Database = request.getfixturevalue(fixture)
    names = [*ODD_NAMES, "a :b", "c\\:d", "e::f :g", "h\\\\:i", 'it\'s "j"', "{k}", "${l}"]
    tables = [f'"{name}"=agent'.replace('a"b', 'a""b').replace('"j"', '""j""') for name in names]
    database.admin().upgrade(tables[::2], to=6)
    project = Project(tmp_path, database)
    made = call("revision", "--alembic", str(tmp_path), "--db-url", database.url, *tables)
    assert made.code == 0, made.err
    project.upgrade()
    survey = database.admin().check(tables)
    assert {plan.table.name for plan in survey.plans} == set(names)
    assert survey.status.value == "current"
    if find_spec("ruff"):
        ours = "def upgrade" + last(project).partition("def upgrade")[2]
        command = [sys.executable, "-m", "ruff", "format", "--isolated", "--stdin-filename", "x.py", "-"]
        done = subprocess.run(command, input=ours, capture_output=True, text=True, check=True)
        assert done.stdout == ours


def test_the_environment_is_found_through_each_of_its_files(call: Call, sqlite: Database, tmp_path: Path) -> None:
    old_agents(sqlite)
    Project(tmp_path / "ini", sqlite)
    ini = tmp_path / "ini" / "alembic.ini"
    ini.write_text(ini.read_text().replace("[alembic]", "[alembic]\nfile_template = 0_%%(slug)s", 1))
    Project(tmp_path / "toml", sqlite)
    (tmp_path / "toml" / "alembic.ini").unlink()
    (tmp_path / "toml" / "pyproject.toml").write_text('[tool.alembic]\nscript_location = "migrations"\n')
    Project(tmp_path / "bare", sqlite)
    (tmp_path / "bare" / "alembic.ini").unlink()
    for place in ("ini", "toml/pyproject.toml", "bare/migrations"):
        made = call("revision", "--alembic", str(tmp_path / place), "--db-url", sqlite.url)
        assert made.code == 0, made.err
        file = tmp_path / made.out.strip()
        assert file.parent == tmp_path / place.partition("/")[0] / "migrations" / "versions"
        assert file.name.startswith("0_upgrade") == (place == "ini")
        file.unlink()
    made = call("revision", "--alembic", str(tmp_path / "ini" / "migrations"), "--db-url", sqlite.url)
    assert Path(made.out).name == "0_upgrade_session_tables_to_version_10.py\n"


def test_a_file_of_that_name_stays_what_it_is(call: Call, sqlite: Database, tmp_path: Path) -> None:
    old_agents(sqlite)
    project = Project(tmp_path, sqlite)
    ini = tmp_path / "alembic.ini"
    ini.write_text(ini.read_text().replace("[alembic]", "[alembic]\nfile_template = %%(slug)s", 1))
    arguments = ("revision", "--alembic", str(tmp_path), "--db-url", sqlite.url)
    assert call(*arguments).code == 0
    project.upgrade()
    old_agents(sqlite, "others")
    before = last(project)
    again = call(*arguments)
    assert (again.code, "is there already, and was left as it is" in again.err) == (64, True)
    assert last(project) == before
    assert call(*arguments, "-m", "others").out == "migrations/versions/others.py\n"


def test_what_a_hook_refuses_is_not_left(call: Call, sqlite: Database, tmp_path: Path) -> None:
    old_agents(sqlite)
    project = Project(tmp_path, sqlite)
    hook = "[post_write_hooks]\nhooks = no\nno.type = exec\nno.executable = /nowhere/at/all\n"
    ini = tmp_path / "alembic.ini"
    ini.write_text(ini.read_text().replace("[post_write_hooks]\n", hook, 1))
    refused = call("revision", "--alembic", str(tmp_path), "--db-url", sqlite.url)
    assert (refused.code, "/nowhere/at/all" in refused.err) == (1, True)
    assert not project.versions


def test_what_is_no_environment_is_named_and_nothing_is_left(call: Call, sqlite: Database, tmp_path: Path) -> None:
    old_agents(sqlite)
    project = Project(tmp_path / "app", sqlite)
    arguments = ("revision", "--db-url", sqlite.url, "--alembic")
    nothing = call(*arguments, str(tmp_path / "ap"))
    assert (nothing.code, "alembic init" in nothing.err) == (64, True)
    template = tmp_path / "app" / "migrations" / "script.py.mako"
    template.write_text(template.read_text().replace('${upgrades if upgrades else "pass"}', "pass"))
    without = call(*arguments, str(project.folder))
    assert (without.code, "leaves the statements out" in without.err) == (1, True)
    assert not project.versions
    (project.folder / "migrations" / "versions" / "broken.py").write_text("import nowhere_to_be_found\n")
    broken = call(*arguments, str(project.folder))
    assert (broken.code, "No module named 'nowhere_to_be_found'" in broken.err) == (1, True)


def test_a_downgrade_says_that_nothing_is_taken_back(call: Call, sqlite: Database, tmp_path: Path) -> None:
    old_agents(sqlite)
    project = Project(tmp_path, sqlite)
    call("revision", "--alembic", str(tmp_path), "--db-url", sqlite.url)
    project.upgrade()
    with pytest.raises(NotImplementedError, match="takes nothing back.*alembic stamp base"):
        project.downgrade("base")
    assert call("check", "--db-url", sqlite.url).code == 0


def test_a_table_that_differs_is_left_out_and_named(call: Call, sqlite: Database, tmp_path: Path) -> None:
    old_agents(sqlite)
    sqlite.run("CREATE TABLE odd AS SELECT * FROM sessions")
    project = Project(tmp_path, sqlite)
    made = call("revision", "--alembic", str(tmp_path), "--db-url", sqlite.url)
    assert (made.code, "odd is drifted and will not be touched" in made.err) == (3, True)
    assert "odd" not in last(project)
