"""Where a command gets its options from: the command line, a target, the environment, a file; and what it says then."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from storage_admin import StorageAdmin
from tests.cli.conftest import Result

Call = Callable[..., Result]
FILE = "storage-admin.toml"
SCHEMAS = Path(__file__).parents[2] / "docs" / "json"


@pytest.fixture
def three(call: Call, tmp_path: Path) -> Call:
    """Three databases, one outdated, one current, one with drift, and one that is not there, as targets."""
    for name, version in (("old", 4), ("new", None), ("odd", None)):
        StorageAdmin(f"sqlite:///{tmp_path}/{name}.db", create=True).upgrade(["sessions=agent"], to=version)
    StorageAdmin(f"sqlite:///{tmp_path}/odd.db")
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(tmp_path / "odd.db", isolation_level=None)) as odd:
        odd.execute("CREATE TABLE other AS SELECT * FROM sessions")
    targets("new", "old")
    return call


def targets(*names: str, top: str = "") -> None:
    Path(FILE).write_text(top + "".join(f"[targets.{name}]\ndb-url = 'sqlite:///{name}.db'\n" for name in names))


def err(result: Result) -> list[str]:
    return result.err.splitlines()


def test_a_target_is_a_database_by_name(three: Call) -> None:
    assert three("check", "--target", "new").code == 0
    assert three("check", "--target", "old").code == 2
    assert "Did you mean new?" in three("check", "--target", "nwe").err
    assert three("check", "--target", "").code == 64  # a variable that was never set, and not any database
    several = three("check")
    assert several.code == 64
    assert "storage-admin.toml has several targets and no db-url" in several.err
    targets("new", "old", top="target = 'old'\n")
    assert three("check").code == 2
    targets("new", "old", top="target = 'old'\ndb-url = 'sqlite:///new.db'\n")
    assert three("check").code == 0  # a db-url at the top is the database where no target is named
    Path(FILE).unlink()
    assert "There are no targets to take: no file of settings" in three("check", "--target", "old").err


def test_a_target_that_is_named_beats_the_environment_and_two_names_are_refused(
    three: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "sqlite:///nowhere.db")
    assert three("check", "--target", "old").code == 2
    monkeypatch.setenv("STORAGE_ADMIN_TARGET", "old")
    assert three("check").code == 2  # before DATABASE_URL, which others may have set
    assert three("check", "--target", "new").code == 0
    assert three("check", "--db-url", "sqlite:///new.db").code == 0
    monkeypatch.setenv("STORAGE_ADMIN_DB_URL", "sqlite:///new.db")
    assert "both name a database" in three("check").err
    assert three("check", "--target", "old").code == 2
    both = three("check", "--target", "old", "--db-url", "sqlite:///new.db")
    assert both.code == 64
    assert "Either --db-url or --target" in both.err


def test_all_targets_are_taken_in_turn_and_the_gravest_code_is_the_exit_code(three: Call) -> None:
    result = three("check", "--all-targets")
    assert result.code == 2
    assert [line for line in result.out.splitlines() if line in ("new", "old")] == ["new", "old"]
    assert err(result) == ["new: 1 table: 1 current", "old: 1 table: 1 outdated"]
    targets("old", "odd", "new")
    assert three("check", "--all-targets").code == 3
    targets("gone", "odd", "old")
    result = three("check", "--all-targets")
    assert result.code == 1
    assert err(result)[0].startswith("gone: Error: There is no file gone.db")
    assert three("plan", "--all-targets").code == 1
    assert three("inspect", "--all-targets").code == 1
    targets("new", "old")
    assert three("inspect", "--all-targets").code == 0
    assert three("upgrade", "--all-targets").code == 0
    assert three("check", "--all-targets").code == 0


def test_each_line_on_stderr_begins_with_the_target(three: Call) -> None:
    said = [line for line in err(three("inspect", "--all-targets")) if line]
    assert {line.partition(": ")[0] for line in said} == {"new", "old"}
    assert not [line for line in said if not line.partition(": ")[2]]
    assert "new: 1 table: 1 current. The newest version is 10." in said


@pytest.mark.parametrize("command", ["check", "inspect", "plan", "upgrade"])
def test_all_targets_are_one_document(three: Call, command: str) -> None:
    targets("new", "gone", "old")
    result = three(command, "--all-targets", "-o", "json")
    document = result.json
    schema = "upgrade-targets" if command == "upgrade" else "survey-targets"
    jsonschema.validate(document, json.loads((SCHEMAS / f"{schema}.schema.json").read_text()))
    new, gone, old = document["targets"]
    assert (document["exit_code"], document["format"]) == (result.code, 1) == (1, 1)
    assert [each["target"] for each in document["targets"]] == ["new", "gone", "old"]
    assert "There is no file gone.db" in gone["error"]
    assert gone["result"] is None
    assert old["result"]["database"]["url"].endswith("old.db")
    assert new["error"] is None
    alone = three(command, "--target", "new", "-o", "json").json
    assert new["result"] == alone


def test_all_targets_need_targets_and_nothing_else(three: Call) -> None:
    for arguments in (["--target", "new"], ["--db-url", "sqlite:///new.db"]):
        result = three("check", "--all-targets", *arguments)
        assert result.code == 64
        assert "takes the place of --db-url and --target" in result.err
    assert "the script of one database" in three("plan", "--sql", "--all-targets").err
    assert "looks at no database" in three("check", "--against", "offline", "--all-targets").err
    assert "-o github shows one database" in three("check", "-o", "github", "--all-targets").err
    Path(FILE).write_text("")
    assert "storage-admin.toml has none" in three("check", "--all-targets").err


def test_what_a_target_says_counts_for_it(three: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(FILE).write_text(
        "schema = 'top'\n[targets.old]\ndb-url = 'sqlite:///old.db'\n"
        "[targets.new]\ndb-url = 'sqlite:///new.db'\nschema = 'main'\n"
    )
    assert "leave out --schema top" in three("check", "--target", "old").err
    assert three("check", "--target", "new").code == 0
    monkeypatch.setenv("STORAGE_ADMIN_SCHEMA", "main")
    assert three("check", "--target", "old").code == 2  # the environment, before the top of the file
    monkeypatch.setenv("STORAGE_ADMIN_SCHEMA", "elsewhere")
    assert three("check", "--target", "new").code == 0  # the named target, before the environment
    assert three("check", "--target", "new", "--schema", "x").code == 64
    assert three("check", "--db-url", f"sqlite:///{tmp_path}/new.db").code == 64


def test_a_file_is_found_above_and_can_be_named(three: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    assert three("check", "--target", "old").code == 2
    (tmp_path / "a" / "other.toml").write_text("db-url = 'sqlite:///../new.db'\n")
    assert three("check", "--config", "../other.toml").code == 0
    monkeypatch.setenv("STORAGE_ADMIN_CONFIG", "../other.toml")
    assert three("check").code == 0
    assert "does not exist" in three("check", "--config", "typo.toml").err


def test_a_folder_that_was_removed_has_no_settings(
    three: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert three("check", "--db-url", f"sqlite:///{tmp_path}/new.db").code == 0


def test_a_variable_of_the_file_that_is_not_set_is_an_error_of_its_target_alone(three: Call) -> None:
    with Path(FILE).open("a") as file:
        file.write("[targets.secret]\ndb-url = 'postgresql://u:${SA_TEST_SECRET}@h/d'\n")
    result = three("check", "--all-targets")
    assert result.code == 64
    assert "secret: Error: storage-admin.toml: targets.secret.db-url needs the variable SA_TEST_SECRET" in result.err
    assert "old: 1 table: 1 outdated" in result.err


def test_every_option_can_be_a_variable(three: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_ADMIN_TARGET", "old")
    monkeypatch.setenv("STORAGE_ADMIN_OUTPUT", "json")
    assert three("check").json["status"] == "outdated"
    assert three("plan", "--sql").out.startswith("--")  # where there is no JSON, a habit is none
    assert three("versions", "--verify").code == 0
    assert three("sessions", "export", "--to", "-").code == 0
    monkeypatch.setenv("STORAGE_ADMIN_UPGRADE_DRY_RUN", "yes")
    assert "Nothing was changed." in three("upgrade").err
    monkeypatch.setenv("STORAGE_ADMIN_UPGRADE_DRY_RUN", "0")
    monkeypatch.setenv("STORAGE_ADMIN_LOCK_TIMEOUT", "soon")
    result = three("upgrade")
    assert result.code == 64
    assert "Invalid value for '--lock-timeout'" in result.err
    assert "It comes from STORAGE_ADMIN_LOCK_TIMEOUT." in result.err
    monkeypatch.setenv("STORAGE_ADMIN_WAIT_TIMEOUT", "-1")
    assert "It comes from STORAGE_ADMIN_WAIT_TIMEOUT." in three("wait").err
    monkeypatch.setenv("STORAGE_ADMIN_ALL_TARGETS", "perhaps")
    assert "yes. It comes from STORAGE_ADMIN_ALL_TARGETS." in three("check").err


def test_what_deletes_or_replaces_is_said_each_time(three: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    from storage_admin.cli import cli
    from storage_admin.cli.reference import variables

    named = [variable.option for variable in variables(cli)]
    assert "--lock-timeout" in named
    assert not {"--yes", "--force", "--version", "--help"} & set(named)
    Path("out.jsonl").write_text("")
    monkeypatch.setenv("STORAGE_ADMIN_SESSIONS_EXPORT_FORCE", "1")
    assert three("sessions", "export", "--to", "out.jsonl", "--target", "old").code == 64


def test_no_variable_takes_the_place_of_a_command(three: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VERSION", "HELP", "CHECK_HELP"):
        monkeypatch.setenv(f"STORAGE_ADMIN_{name}", "1")
    assert three("check", "--target", "old").code == 2
    monkeypatch.setenv("STORAGE_ADMIN_VERSION", "0.1.0")
    assert three("check", "--target", "new").code == 0


def test_a_variable_is_named_after_the_long_name_of_its_option() -> None:
    from storage_admin.cli import cli
    from storage_admin.cli.reference import commands, variables

    named = {variable.name: variable for variable in variables(cli)}
    own = {"STORAGE_ADMIN_TO_URL": "--to"}  # of `sessions copy`: it holds a password
    assert own.items() <= {name: variable.option for name, variable in named.items()}.items()
    for name, variable in named.items():
        option = variable.option[2:].upper().replace("-", "_")
        places = [command.upper().replace(" ", "_") for command in variable.commands]
        known = {f"STORAGE_ADMIN_{option}", *(f"STORAGE_ADMIN_{place}_{option}" for place in places)}
        assert name in known or own[name] == variable.option, name
    read = {(command, variable.option) for variable in named.values() for command in variable.commands}
    said = {"--yes", "--force", "--version"}
    for command, found in commands(cli):
        options = {max(param.opts, key=len) for param in found.params if param.opts[0].startswith("-")}
        assert {(command, option) for option in options - said} <= read


def test_the_variable_for_the_output_of_all_is_left_alone_where_a_command_lacks_that_form(
    three: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_ADMIN_TARGET", "old")
    monkeypatch.setenv("STORAGE_ADMIN_OUTPUT", "github")
    assert three("check").out.startswith("::error")
    assert three("plan").out == three("plan", "-o", "table").out
    assert three("sessions", "list").code == 0
    monkeypatch.setenv("STORAGE_ADMIN_CHECK_OUTPUT", "json")
    assert three("check").json["status"] == "outdated"
    monkeypatch.setenv("STORAGE_ADMIN_PLAN_OUTPUT", "github")
    result = three("plan")
    assert result.code == 64
    assert "It comes from STORAGE_ADMIN_PLAN_OUTPUT." in result.err
    monkeypatch.setenv("STORAGE_ADMIN_OUTPUT", "gihtub")
    assert "It comes from STORAGE_ADMIN_OUTPUT." in three("upgrade").err
    assert three("upgrade").code == 64


def test_the_settings_of_a_file_reach_the_work(three: Call) -> None:
    with Path(FILE).open("a") as file:
        file.write("lock-timeout = 20\nwait = 0.05\n")  # of the last target, old
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect("old.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        result = three("upgrade", "--target", "old")
    assert result.code == 5
    assert "gave up after 0.05 s" in result.err
