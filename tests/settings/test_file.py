"""The file of settings: found where it is meant, filled in as it is meant, and wrong in words."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import make_url

from storage_admin.errors.settings import BadSettings, NoSuchTarget
from storage_admin.settings.finding import find
from storage_admin.settings.reading import SettingsFile, read
from storage_admin.settings.variables import seen_from, within

OWN = "storage-admin.toml"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(text: str, name: str = OWN) -> SettingsFile:
    Path(name).write_text(text)
    return read(Path.cwd() / name)


def test_the_nearest_file_counts_up_to_the_root_of_the_repository(here: Path) -> None:
    (here / OWN).write_text("")
    inner = here / "repository" / "a" / "b"
    inner.mkdir(parents=True)
    assert find(inner) is None  # no repository: what lies above may be anybody's
    (here / "repository" / ".git").mkdir()
    assert find(inner) is None  # the file is above the root
    (here / "repository" / OWN).write_text("")
    assert find(inner) == here / "repository" / OWN
    (inner.parent / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert find(inner) == here / "repository" / OWN  # a pyproject.toml that says nothing about us is passed by
    (inner.parent / "pyproject.toml").write_text("[tool.storage-admin]\n")
    assert find(inner) == inner.parent / "pyproject.toml"
    assert find(here) == here / OWN


SPELLINGS = [
    "[tool.storage-admin]",
    '[ tool . "storage-admin" ]',
    "tool.storage-admin.wait = 1",
    "[tool]\nstorage-admin = {}",
]


@pytest.mark.parametrize("text", SPELLINGS)
def test_a_pyproject_is_ours_however_it_is_spelled(here: Path, text: str) -> None:
    file = here / "pyproject.toml"
    file.write_text(f"[project]\ndependencies = ['storage-admin']\n{text if text[0] == '[' else ''}\n")
    if text[0] != "[":
        file.write_text(text)
    assert find(here) == file
    file.write_text("[project]\nname = 'storage-admin'\ndependencies = ['storage-admin']\n[tool.other]\n")
    assert find(here) is None


CLOSED = """
import os
from pathlib import Path
from storage_admin.settings.finding import find
os.chmod("..", 0)
if os.getuid() == 0:
    os.setuid(65534)
print(find(Path.cwd()))
"""


def test_a_folder_that_may_not_be_entered_has_no_settings(here: Path) -> None:
    inner = here / "closed" / "in"
    inner.mkdir(parents=True)
    (inner / OWN).write_text("")
    done = subprocess.run([sys.executable, "-c", CLOSED], cwd=inner, capture_output=True, text=True, check=False)
    (here / "closed").chmod(0o700)
    assert (done.stdout, done.stderr) == ("None\n", "")


def test_two_files_of_one_folder_are_refused(here: Path) -> None:
    (here / OWN).write_text("")
    (here / "pyproject.toml").write_text("[tool.storage-admin]\ndb-url = 'x'\n")
    with pytest.raises(BadSettings, match=r"pyproject.toml beside it has \[tool.storage-admin\] too"):
        find(here)


def test_a_target_takes_from_the_top_what_it_does_not_say_but_for_the_database() -> None:
    file = written(
        'db-url = "sqlite:///top.db"\nschema = "top"\nwait = 5\n'
        '[targets.prod]\ndb-url = "sqlite:///prod.db"\nschema = "ai"\n[targets."my test"]\ndb-url = "sqlite:///t.db"\n'
    )
    assert [file.value(key, None, {}) for key in ("db_url", "schema", "wait")] == ["sqlite:///top.db", "top", 5]
    assert [file.value(key, "prod", {}) for key in ("db_url", "schema", "wait")] == ["sqlite:///prod.db", "ai", 5]
    assert file.value("schema", "my test", {}) == "top"
    with pytest.raises(NoSuchTarget, match=r"no target 'prd' in storage-admin.toml. Did you mean prod\? It has: prod"):
        file.value("db_url", "prd", {})


MISTAKES = {
    "schema = 'x'\ndb_url = 'x'": r"toml: db_url is no setting \(line 2\). Did you mean db-url\? There are",
    "[targets.prod]\n\ndb-url = 'x'\nshcema = 1": r"prod.shcema is no setting \(line 4\). Did you mean schema\?",
    "targets.prod.url = 'x'": r"targets.prod.url is no setting \(line 1\)",
    "[targets.prod]\nwait = 3": r"targets.prod has no db-url \(line 1\)",
    "[targets.prod]\ndb-url = 'x'\njobs = 65": r"targets.prod.jobs must be a whole number from 1 to 64 \(line 3\)",
    "lock-timeout = '1s'": r"lock-timeout must be a whole number of milliseconds, from 1 \(line 1\)",
    "wait = -1": r"wait must be a number of seconds, from 0",
    "allow-copy = 1": r"allow-copy must be true or false",
    "targets = 1": r"targets must be tables \(line 1\)",
    "targets = {prod = 1}": r"targets.prod must be a table \(line 1\)",
    "[tool]\nstorage-admin = 1": r"must be a table",
    "tool = 1": r"tool.storage-admin must be a table \(line 1\)",
    "db-url = [": r"storage-admin.toml cannot be read: Invalid value",
    "schema = 'x'\n[target.prod]\ndb-url = 'x'": r"target must be a text \(line 2\)\. Did you mean \[targets\.prod\]\?",
    "\n[tool.storage_admin]\nschema = 'x'": r"\[tool\.storage_admin\] is read by nobody \(line 2\)\. "
    r"Did you mean \[tool\.storage-admin\]\?",
    "\n[tool.storage-admin]\nschema = 1": r"schema must be a text \(line 3\)",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_is_named_with_its_key_and_its_line(text: str) -> None:
    with pytest.raises(BadSettings, match=MISTAKES[text]) as failed:
        written(text)
    assert failed.value.exit_code == 64


def test_settings_of_a_pyproject_under_a_wrong_name_are_not_passed_by(here: Path) -> None:
    (here / "pyproject.toml").write_text("[project]\nname = 'x'\n[tool.storage_admin.targets.a]\ndb-url = 'x'\n")
    with pytest.raises(BadSettings, match=r"^pyproject\.toml: \[tool\.storage_admin\] is read by nobody \(line 3\)"):
        find(here)


URLS = {
    "postgresql://${USER}:${PASSWORD}@${HOST}/${DB}": "postgresql://a%40b:p%40ss%2F%3Aw%24%7BX%7D%25@h:5/d",
    "${BASE}?options=${PASSWORD}": "postgresql://x@h/d?options=p%40ss%2F%3Aw%24%7BX%7D%25",
    "sqlite:////${DIR}/x.db": "sqlite:////srv/data/x.db",
    "postgresql://u:$${PASSWORD}@h/d": "postgresql://u:${PASSWORD}@h/d",
    "postgresql://u:${NONE:-p}@h/d": "postgresql://u:p@h/d",
    "postgresql://u:${EMPTY:-p/w}@h/d": "postgresql://u:p%2Fw@h/d",
    "postgresql://${EMPTY:-}@h/d": "postgresql://@h/d",
}
VARIABLES = {
    "USER": "a@b",
    "PASSWORD": "p@ss/:w${X}%",
    "HOST": "h:5",
    "DB": "d",
    "BASE": "postgresql://x@h/d",
    "DIR": "srv/data",
    "EMPTY": "",
}


@pytest.mark.parametrize("template", URLS)
def test_a_variable_of_a_url_holds_what_it_stands_for_without_escapes(template: str) -> None:
    file = written(f"db-url = '{template}'")
    assert file.value("db_url", None, VARIABLES) == URLS[template]
    if "PASSWORD}@$" in template:
        assert make_url(URLS[template]).password == VARIABLES["PASSWORD"]


def test_a_variable_that_is_not_set_is_named_with_its_place() -> None:
    file = written("schema = '${TENANT}'\n[targets.prod]\ndb-url = 'postgresql://u:${SECRET}@h/d'\n")
    with pytest.raises(
        BadSettings, match=r"targets.prod.db-url needs the variable SECRET, which is not set \(line 3\)"
    ):
        file.value("db_url", "prod", {})
    assert file.value("schema", "prod", {"TENANT": "t1"}) == "t1"
    with pytest.raises(BadSettings, match=r"schema needs the variable TENANT"):
        file.value("schema", "prod", {"TENANT": ""})
    with pytest.raises(BadSettings, match=r"has a \$\{ that is no variable"):
        written("schema = '${TEN ANT}'").value("schema", None, {})


def test_a_sqlite_file_is_meant_from_where_the_settings_are(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "sub").mkdir()
    (here / OWN).write_text("db-url = 'sqlite:///agents.db?mode=ro'")
    assert read(here / OWN).value("db_url", None, {}) == "sqlite:///agents.db?mode=ro"
    monkeypatch.chdir(here / "sub")
    assert read(here / OWN).value("db_url", None, {}) == "sqlite:///../agents.db?mode=ro"


ELSEWHERE = {
    "sqlite:///agents.db": "sqlite:///../agents.db",
    "sqlite:///file:agents.db?mode=ro&uri=true": "sqlite:///file:../agents.db?mode=ro&uri=true",
    "sqlite+pysqlite:///./a b.db": "sqlite+pysqlite:///.././a b.db",
}
ANYWHERE = [
    *("sqlite:////srv/agents.db", "sqlite:///file:/srv/agents.db?uri=true", "sqlite:///C:/agents.db"),
    *("sqlite:///C:\\agents.db", "sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///file::memory:?uri=true"),
    *("postgresql:///agents", "postgresql://h/agents"),
]


def test_only_a_relative_path_depends_on_the_folder(here: Path) -> None:
    moved = {url: seen_from(here / "sub", url, here) for url in [*ELSEWHERE, *ANYWHERE]}
    assert moved == ELSEWHERE | {url: url for url in ANYWHERE}
    assert within("/srv", "sqlite:///file:agents.db?uri=true") == "sqlite:///file:/srv/agents.db?uri=true"
    for absolute in ("sqlite:////srv/x.db", "sqlite:///:memory:", "sqlite://", "postgresql:///x"):
        (here / OWN).write_text(f"db-url = '{absolute}'")
        assert read(here / OWN).value("db_url", None, {}) == absolute
