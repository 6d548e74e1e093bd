"""The lock file: what it says of a database, and that a later release plans from it what it would plan there."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from storage_admin import Catalog, Status, StorageAdmin
from storage_admin.catalog import default_folder, load_catalog
from storage_admin.errors import LockFileError, NoSuchTable
from storage_admin.lockfile import lock_text, read_lock, survey_lock, write_lock
from storage_admin.naming import TableRef
from storage_admin.render import render
from tests.conftest import Database
from tests.integration.tables import old_agents

Older = Callable[[int], Catalog]


@pytest.fixture
def older(tmp_path: Path) -> Older:
    """The catalogue as it was when it ended with a version."""

    def load(head: int) -> Catalog:
        folder = tmp_path / f"versions-{head}"
        folder.mkdir(exist_ok=True)
        for file in sorted(default_folder().glob("*.toml"))[:head]:
            shutil.copy(file, folder)
        return load_catalog(folder)

    return load


def sql(admin: StorageAdmin) -> dict[str, tuple[str, ...]]:
    survey = admin.plan()
    return {str(plan.table): render(plan, survey.database.record) for plan in survey.plans if plan.runnable}


def test_a_newer_release_plans_from_the_file_what_it_would_plan_on_the_database(
    database: Database, older: Older, catalog: Catalog, tmp_path: Path
) -> None:
    names = [database.table(name) for name in ("sessions", "flows", "both", "odd.name", "flow_runs")]
    kinds = ("agent", "workflow_v2", "agent,team", "agent", "workflow")
    refs = [f"{table}={kind}" for table, kind in zip(names, kinds, strict=True)]
    refs[3] = refs[3].replace("odd.name", '"odd.name"')
    before = database.admin(catalog=older(9))
    before.upgrade(refs)
    path = tmp_path / "storage-admin.lock"
    assert write_lock(before.lock(), path)
    survey = survey_lock(read_lock(path), catalog, "storage-admin.lock")
    found = {str(p.table): render(p, survey.database.record) for p in survey.plans if p.runnable}
    assert found == sql(database.admin())
    assert list(found) == [database.table("flows")]
    assert [note.partition(" is newer")[0] for note in survey.notes] == ["version 10 (agno 1.7.7)"]
    assert survey.status is Status.OUTDATED
    assert survey_lock(read_lock(path), older(9), "x").status is Status.CURRENT


def test_every_shape_of_a_database_is_planned_from_the_file_as_on_the_database(
    database: Database, catalog: Catalog
) -> None:
    for version in (1, 4, 6):
        old_agents(database, f"sessions_{version}", version)
    if database.dialect.name == "postgresql":
        for statement in (
            "ALTER TABLE ai.sessions_4 ALTER created_at TYPE integer",
            "DROP INDEX ai.ix_ai_sessions_6_user_id",
        ):
            database.run(statement)
    database.run(f"ALTER TABLE {database.table('sessions_6')} ADD COLUMN notes varchar(7) DEFAULT 'canary'")
    live = database.admin().plan()
    lock = database.admin().lock()
    assert "canary" not in lock_text(lock)
    offline = survey_lock(lock, catalog, "x")
    for one, other in zip(sorted(live.plans, key=str), sorted(offline.plans, key=str), strict=True):
        assert (one.table, one.kinds, one.status, one.version) == (
            other.table,
            other.kinds,
            other.status,
            other.version,
        )
        assert (one.changes, one.drifts, len(one.extras)) == (other.changes, other.drifts, len(other.extras))


def test_indexes_of_a_table_that_was_large_are_built_beside_its_writers(postgres: Database, catalog: Catalog) -> None:
    table = old_agents(postgres)
    postgres.run(
        f"INSERT INTO {table} (session_id, user_id) SELECT n, repeat('x', 1000) FROM generate_series(1, 10000) n"
    )
    lock = postgres.admin().lock()
    [plan] = survey_lock(lock, catalog, "x").plans
    assert {str(p.table): render(p, postgres.dialect) for p in [plan]} == sql(postgres.admin())
    assert any("CONCURRENTLY" in statement for statement in render(plan, postgres.dialect))


def test_a_file_is_the_same_for_the_same_tables_and_is_read_back_as_it_was_written(
    database: Database, tmp_path: Path
) -> None:
    hostile = ['x"y.', "new\nline", "{table}", "ta\tb,", "ключ", "e=f\x7f"]
    admin = database.admin()
    schema = "ai" if database.dialect.has_schemas else None
    admin.upgrade([TableRef(name, schema, ("agent",)) for name in [*hostile, "plain"]], to=6)
    path = tmp_path / "storage-admin.lock"
    lock = admin.lock()
    assert write_lock(lock, path)
    text = path.read_text()
    assert not write_lock(database.admin().lock(), path)
    assert path.read_text() == text
    again = read_lock(path)
    assert lock_text(again) == text
    assert {t.live.name.name for t in again.tables} == {*hostile, "plain"}
    assert {t.live.index_names for t in again.tables} == {tuple(sorted(t.live.index_names)) for t in lock.tables}
    [plain] = [t for t in again.tables if t.live.name.name == "plain"]
    assert text.split("\n")[plain.line - 1] == f'    "{database.table("plain")}",'


def test_tables_that_are_alike_share_one_block(sqlite: Database) -> None:
    sqlite.admin().upgrade([f"tenant_{n}=agent" for n in range(30)], to=6)
    sqlite.admin().upgrade(["tenant_7"])
    text = lock_text(sqlite.admin().lock())
    assert text.count("[[tables]]") == 2
    assert text.count('names = [\n    "tenant_7",\n]\n') == 1


def test_what_a_newer_release_made_is_ahead_of_an_older_one(database: Database, older: Older) -> None:
    database.admin().upgrade([f"{database.table('sessions')}=agent"], to=7)
    database.admin().upgrade([f"{database.table('flows')}=workflow_v2"])
    survey = survey_lock(database.admin().lock(), older(7), "storage-admin.lock")
    assert {plan.table.name: plan.status for plan in survey.plans}["flows"] is Status.AHEAD
    assert "was written by a newer storage-admin" in survey.notes[0]


def test_a_table_that_is_named_must_be_there(sqlite: Database, catalog: Catalog) -> None:
    sqlite.admin().upgrade(["sessions=agent"])
    with pytest.raises(NoSuchTable):
        sqlite.admin().lock(["missing=agent"])
    lock = sqlite.admin().lock()
    assert [str(p.table) for p in survey_lock(lock, catalog, "x", [TableRef("SESSIONS")]).plans] == ["sessions"]
    with pytest.raises(LockFileError, match=r"^x: it holds no table missing\. `storage-admin lock` writes it anew\.$"):
        survey_lock(lock, catalog, "x", [TableRef("missing")])


BAD = {
    "format = 2\ndialect = 'sqlite'\nhead = 1\n": "its format is 2, and this storage-admin reads 1",
    "format = 1\ndialect = 'oracle'\nhead = 1\n": "oracle is not supported",
    "format = 1\n": "Object missing required field `dialect`",
    "<<<<<<< HEAD\n": "Invalid statement (at line 1, column 1)",
    "format = 1\ndialect = 'sqlite'\nhead = -1\n": "Expected `int` >= 0 - at `$.head`",
    "format = 1\ndialect = 'sqlite'\nhead = 1\n[[tables]]\nnames = ['a']\nkinds = []\ncolumns = []": ".kinds`",
    "format = 1\ndialect = 'sqlite'\nhead = 1\n[[tables]]\nnames = ['a.b.c']\nkinds = ['agent']\ncolumns = []": "a.b.c",
}
BAD |= {
    "format = 1\ndialect = 'sqlite'\nhead = 1\n[[tables]]\nnames = ['a']\nkinds = ['agent']\ncolumns = []\n"
    f"indexes = [{{ name = '{name}', columns = [] }}]": "may have {prefix} and {table} in braces"
    for name in ("{x}", "{", "{table[x]}", "{table:>9999999999}", "{table!r}")
}


@pytest.mark.parametrize("text", BAD)
def test_a_file_that_is_none_is_named_with_what_is_wrong(tmp_path: Path, text: str) -> None:
    path = tmp_path / "storage-admin.lock"
    path.write_text(text)
    with pytest.raises(LockFileError) as failed:
        read_lock(path)
    assert BAD[text] in str(failed.value)
    assert str(path) in str(failed.value)


def test_a_file_edited_by_hand_is_read_whole(tmp_path: Path, sqlite: Database) -> None:
    sqlite.admin().upgrade(["a=agent", "b=workflow_v2"])
    path = tmp_path / "storage-admin.lock"
    write_lock(sqlite.admin().lock(), path)
    path.write_text(path.read_text().replace("[[tables]]", "[[ tables ]]"))
    assert [str(t.live.name) for t in read_lock(path).tables] == ["a", "b"]
    assert path.read_text().split("\n")[read_lock(path).tables[0].line - 1] == '    "a",'


def test_what_a_merge_leaves_is_refused_and_written_anew(tmp_path: Path, sqlite: Database) -> None:
    path = tmp_path / "storage-admin.lock"
    sqlite.admin().upgrade(["a=agent"], to=6)
    write_lock(sqlite.admin().lock(), path)
    old = path.read_text()
    sqlite.admin().upgrade()
    write_lock(sqlite.admin().lock(), path)
    new = path.read_text()
    both = old + new[new.index("[[tables]]") :]
    for merged, problem in ((both, "a is there twice"), (f"{old}<<<<<<< theirs\n", "Invalid statement")):
        path.write_text(merged)
        with pytest.raises(LockFileError, match=problem):
            read_lock(path)
        assert write_lock(sqlite.admin().lock(), path)
        assert path.read_text() == new


def test_a_kind_that_there_is_not_is_a_mistake_in_the_file_unless_the_file_is_newer(
    sqlite: Database, catalog: Catalog, older: Older
) -> None:
    sqlite.admin().upgrade(["a=workflow_v2"], to=9)
    lock = sqlite.admin().lock()
    [plan] = survey_lock(lock, older(7), "x").plans
    assert (plan.status, plan.recorded) == (Status.AHEAD, catalog.head)
    [table] = lock.tables
    wrong = msgspec.structs.replace(lock, tables=(msgspec.structs.replace(table, kinds=("workflw_v2",)),))
    with pytest.raises(
        LockFileError, match=r"^x: line 0: a: 'workflw_v2' is no kind .* Did you mean workflow_v2\? `st"
    ):
        survey_lock(wrong, catalog, "x")


def test_a_file_of_somebody_else_is_not_replaced(tmp_path: Path, sqlite: Database) -> None:
    sqlite.admin().upgrade(["a=agent"])
    path = tmp_path / "README.md"
    path.write_text("# Mine\n")
    with pytest.raises(LockFileError, match="that is no lock file, and was left as it is"):
        write_lock(sqlite.admin().lock(), path)
    with pytest.raises(LockFileError, match="it cannot be written"):
        write_lock(sqlite.admin().lock(), tmp_path / "missing" / "storage-admin.lock")
    with pytest.raises(LockFileError, match="that is no lock file"):
        write_lock(sqlite.admin().lock(), tmp_path)
    assert path.read_text() == "# Mine\n"
    assert not list(tmp_path.glob(".*.part"))
