"""init: a first file of settings from what is found, which works as it is, and holds no secret."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import make_url

from storage_admin.settings.reading import read
from storage_admin.settings.writing import variables_of, without_secrets
from storage_admin.toml import loads
from tests.cli.conftest import Result
from tests.conftest import Database

Call = Callable[..., Result]
FILE = Path("storage-admin.toml")


def test_the_file_names_the_database_and_its_tables_and_works(call: Call, database: Database) -> None:
    name = database.table("sessions")
    database.admin().upgrade([f"{name}=agent,team"], to=6)
    result = call("init", "--db-url", database.url)
    assert (result.code, result.out) == (0, "")
    assert "storage-admin.toml written, for 1 session table at" in result.err
    text = FILE.read_text()
    assert f"#   {name}=agent,team  at version 6, outdated" in text
    assert loads(text) == {"db-url": database.url}
    assert call("check").code == 2
    uncommented = "\n".join(line.removeprefix("# ") for line in text.splitlines() if " = " in line or "[t" in line)
    assert set(loads(uncommented)) == {
        *("db-url", "schema", "role", "lock-timeout", "wait", "jobs", "allow-copy", "targets")
    }
    FILE.write_text(uncommented)
    read(FILE.absolute())  # every example is well-formed


def test_a_file_is_replaced_only_by_force(call: Call, sqlite: Database) -> None:
    FILE.write_text("# mine\n")
    result = call("init", "--db-url", sqlite.url)
    assert result.code == 64
    assert "storage-admin.toml is there already" in result.err
    assert FILE.read_text() == "# mine\n"
    assert call("init", "--force", "--db-url", sqlite.url).code == 0
    assert loads(FILE.read_text()) == {"db-url": sqlite.url}
    assert "no ordinary file" in call("init", "--force", "/dev/null").err
    assert [path.name for path in Path().iterdir() if path.name.endswith(".part")] == []
    FILE.unlink()
    Path("pyproject.toml").write_text("[tool.storage-admin]\n")
    assert "pyproject.toml: [tool.storage-admin] in it are the settings" in call("init", "--force").err
    assert not FILE.exists()


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_pyproject_gets_a_table_at_its_end_and_keeps_the_rest(call: Call, sqlite: Database, ending: str) -> None:
    sqlite.admin().upgrade(["sessions=agent"], to=6)
    before = f"# naïve{ending}[project]{ending}name = 'mine'{ending}[tool.ruff]{ending}line-length = 99"
    project = Path("pyproject.toml")
    project.write_bytes(before.encode())
    project.chmod(0o640)
    result = call("init", "pyproject.toml", "--force", "--db-url", sqlite.url)
    assert (result.code, "not looked for" in result.err) == (0, False)
    text = project.read_bytes().decode()
    assert text.startswith(before + ending)
    assert text.count("\n") == text.count(ending)
    assert project.stat().st_mode & 0o777 == 0o640
    assert loads(text) == {
        "project": {"name": "mine"},
        "tool": {"ruff": {"line-length": 99}, "storage-admin": {"db-url": sqlite.url}},
    }
    assert call("check").code == 2
    again = call("init", "pyproject.toml", "--force", "--db-url", sqlite.url)
    assert again.code == 64
    assert project.read_bytes().decode() == text
    project.write_text(text.replace("# [tool.storage-admin.t", "[tool.storage-admin.t").replace("# db-url", "db-url"))
    assert set(read(project.absolute()).settings.targets) == {"staging"}


def test_a_pyproject_that_cannot_take_a_table_stays_as_it_is(call: Call, sqlite: Database) -> None:
    project = Path("pyproject.toml")
    for before in ("tool = {ruff = {}}\n", "[project\n", "[tool]\nstorage-admin = {}\n"):
        project.write_text(before)
        assert call("init", "pyproject.toml", "--force", "--db-url", sqlite.url).code == 64
        assert project.read_text() == before
    project.unlink()
    assert call("init", "pyproject.toml", "--db-url", sqlite.url).code == 0
    assert loads(project.read_text()) == {"tool": {"storage-admin": {"db-url": sqlite.url}}}
    project.write_text("[project]\n")
    FILE.write_text("")
    result = call("init", "pyproject.toml")
    assert "storage-admin.toml: in it are the settings of this folder" in result.err
    assert project.read_text() == "[project]\n"


def test_a_database_that_is_not_reached_leaves_no_file(call: Call) -> None:
    assert call("init", "--db-url", "sqlite:///typo.db").code == 1
    assert not FILE.exists()
    assert call("init", "no/such/folder.toml").code == 1
    Path("file").touch()
    assert "file/of.toml could not be written: Not a directory" in call("init", "file/of.toml").err


def test_without_a_database_the_file_is_only_comments(call: Call) -> None:
    result = call("init")
    assert "Name your database in it" in result.err
    assert loads(FILE.read_text()) == {}
    assert "No database named" in call("check").err


def test_a_password_is_a_variable_in_the_file(call: Call, postgres: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    url = postgres.url.replace("://postgres@", "://postgres:canary7f3e9@")
    monkeypatch.setenv("DATABASE_URL", url)
    result = call("init", "--schema", "ai")
    monkeypatch.delenv("DATABASE_URL")
    assert "set STORAGE_ADMIN_PASSWORD" in result.err
    text = FILE.read_text()
    assert "canary7f3e9" not in text + result.err
    assert loads(text)["db-url"] == url.replace("canary7f3e9", "${STORAGE_ADMIN_PASSWORD}")
    assert loads(text)["schema"] == "ai"
    assert "with no session table yet" in text
    assert "needs the variable STORAGE_ADMIN_PASSWORD" in call("check").err
    monkeypatch.setenv("STORAGE_ADMIN_PASSWORD", "canary7f3e9")
    assert "No session tables" in call("check").err


def test_a_schema_is_no_variable(call: Call) -> None:
    assert call("init", "--schema", "a${USER}").code == 0
    assert read(FILE.absolute()).value("schema", None, {}) == "a${USER}"


def test_the_path_of_a_sqlite_file_is_written_from_the_folder_of_the_settings(call: Call, sqlite: Database) -> None:
    sqlite.admin().upgrade(["sessions=agent"])
    Path("conf").mkdir()
    result = call("init", "conf/agents.toml", "--db-url", "sqlite:///sessions.db")
    assert "--config conf/agents.toml" in result.err
    assert loads(Path("conf/agents.toml").read_text()) == {"db-url": "sqlite:///../sessions.db"}
    assert call("check", "--config", "conf/agents.toml").code == 0


def test_a_name_that_is_hostile_stays_in_its_comment(call: Call, sqlite: Database) -> None:
    sqlite.admin().upgrade(['"a\ndb-url = 1"=agent'])
    assert call("init", "--db-url", sqlite.url).code == 0
    assert loads(FILE.read_text()) == {"db-url": sqlite.url}


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p%40ss%2F@h:1/d",
        "postgresql://u:$x${y}@h/d?sslmode=require",
        "postgresql://u@h/d?password=s%26cret&sslpassword=another&x=1",
        "postgresql://u@h/d?password=s#cret&x=1",
        "mysql+pymysql://u:p@h/d?ssl_key=k",
        "postgresql://u@h/d",
        "postgresql://u:@h/d",
        "postgresql://",
        "sqlite:///a@b:c.db",
    ],
)
def test_what_is_taken_out_of_a_url_comes_back_from_the_variables(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    FILE.write_text(f"db-url = '{without_secrets(url)}'")
    meant = make_url(url.replace("postgresql://", "postgresql+psycopg://"))
    values = {"STORAGE_ADMIN_PASSWORD": meant.password or meant.query.get("password")}
    values["STORAGE_ADMIN_SSLPASSWORD"] = meant.query.get("sslpassword")
    variables = {name: str(values[name]) for name in variables_of(without_secrets(url))}
    found = read(FILE.absolute()).value("db_url", None, variables)
    assert make_url(found.replace("postgresql://", "postgresql+psycopg://")) == meant
