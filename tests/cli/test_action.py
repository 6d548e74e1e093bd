"""The GitHub Action and a repository that uses it, its steps run by hand: what is pending fails."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import pytest
import yaml

from storage_admin import StorageAdmin
from storage_admin.catalog import default_folder, load_catalog
from tests.cli.test_ci import DATA, ROOT, annotated

ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
WORKFLOW = yaml.safe_load((DATA / "sample" / ".github" / "workflows" / "session-tables.yml").read_text())
PROGRAMS = Path(sys.executable).parent


class Job(NamedTuple):
    code: int
    out: str
    outputs: dict[str, str]
    summary: str


def filled(text: str, known: dict[str, str]) -> str:
    return re.sub(r"\$\{\{ *([\w.-]+) *\}\}", lambda match: known[match[1]], text)


def run_action(workspace: Path, given: dict[str, str], secrets: dict[str, str], **environment: str) -> Job:
    """Run the steps of the action as GitHub's runner does: inputs filled in, in bash, with files for what they say."""
    assert set(given) <= set(ACTION["inputs"])
    inputs = {name: str(entry["default"]) for name, entry in ACTION["inputs"].items()}
    inputs |= {name: filled(value, secrets) for name, value in given.items()}
    known = {"github.action_path": str(ROOT), **{f"inputs.{name}": value for name, value in inputs.items()}}
    files = {name: workspace / ".runner" / name for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_PATH")}
    (workspace / ".runner").mkdir(exist_ok=True)
    for file in files.values():
        file.write_text("")
    base = {"PATH": f"{PROGRAMS}:{os.environ['PATH']}", "HOME": str(workspace), "GITHUB_WORKSPACE": str(workspace)}
    base |= {name: str(file) for name, file in files.items()} | environment
    code, out = 0, ""
    for step in ACTION["runs"]["steps"]:
        assert step["shell"] == "bash"
        assert "${{" not in step["run"]  # an input in a script is code
        own = {name: filled(value, known) for name, value in step["env"].items()}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=workspace / filled(step.get("working-directory", "."), known),
            env=base | own,
            capture_output=True,
            text=True,
            check=False,
        )
        code, out = done.returncode, out + done.stdout + done.stderr
        if code:
            break
    outputs = dict(line.split("=", 1) for line in files["GITHUB_OUTPUT"].read_text().splitlines())
    return Job(code, out, outputs, files["GITHUB_STEP_SUMMARY"].read_text())


def job(name: str) -> dict[str, str]:
    """What a job of the sample workflow gives to the action."""
    [step] = [step for step in WORKFLOW["jobs"][name]["steps"] if "storage-admin" in step.get("uses", "")]
    given: dict[str, str] = step["with"]
    return given


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DATA / "sample", tmp_path / "repository"))


@pytest.fixture
def before(tmp_path: Path) -> Path:
    """The versions that an older release brought."""
    folder = tmp_path / "versions"
    folder.mkdir()
    for file in sorted(default_folder().glob("*.toml"))[:9]:
        shutil.copy(file, folder)
    return folder


def storage_admin(*arguments: str, cwd: Path, **environment: str) -> int:
    program, env = str(PROGRAMS / "storage-admin"), os.environ | environment
    return subprocess.run([program, *arguments], cwd=cwd, env=env, check=False, capture_output=True).returncode


def test_a_new_release_fails_where_a_table_is_old_and_passes_after_the_upgrade(
    repository: Path, before: Path, tmp_path: Path
) -> None:
    (tmp_path / "agents.db").touch()
    url = f"sqlite:///{tmp_path}/agents.db"
    secrets = {"secrets.SESSIONS_DB_URL": url}
    tables = ["agents=agent", "teams=agent,team", "flows=workflow_v2"]
    StorageAdmin(url, catalog=load_catalog(before)).upgrade(tables)
    lock, versions = repository / "storage-admin.lock", {"STORAGE_ADMIN_VERSIONS": str(before)}

    # What is committed is what the release of then makes of its database, and with it both jobs pass.
    committed = lock.read_text()
    assert storage_admin("lock", "--check", cwd=repository, DATABASE_URL=url, **versions) == 0
    for name in WORKFLOW["jobs"]:
        passed = run_action(repository, job(name), secrets, **versions)
        assert (passed.code, annotated(passed.out), passed.outputs) == (0, [], {"exit-code": "0", "checked": "true"})

    # A pull request brings a newer release.
    for name in WORKFLOW["jobs"]:
        failed = run_action(repository, job(name), secrets)
        assert (failed.code, failed.outputs) == (2, {"exit-code": "2", "checked": "true"})
        [found] = annotated(failed.out)
        assert (found.level, found.properties["title"]) == ("error", "pending: flows")
        assert found.properties["file"] == "storage-admin.lock"
        assert committed.split("\n")[int(found.properties["line"]) - 1] == '    "flows",'
        for statement in StorageAdmin(url).plan(["flows"]).plans[0].changes:
            assert str(statement).split()[-1] in found.message
        assert "ALTER TABLE flows ADD COLUMN workflow_name VARCHAR;" in failed.summary
    results = json.loads((repository / "storage-admin.sarif").read_text())["runs"][0]["results"]
    assert [result["ruleId"] for result in results] == ["pending"]

    # The database is upgraded, and the new lock file is committed.
    assert storage_admin("upgrade", cwd=repository, DATABASE_URL=url) == 0
    assert storage_admin("lock", cwd=repository, DATABASE_URL=url) == 0
    for name in WORKFLOW["jobs"]:
        passed = run_action(repository, job(name), secrets)
        assert (passed.code, annotated(passed.out)) == (0, [])
    new = [line.strip() for line in lock.read_text().splitlines() if line not in committed.splitlines()]
    assert '{ name = "workflow_name", type = "VARCHAR" },' in new


def test_a_check_that_could_not_be_made_is_not_to_be_uploaded(repository: Path) -> None:
    secrets = {"secrets.SESSIONS_DB_URL": "sqlite:///nowhere.db"}
    failed = run_action(repository, job("database"), secrets)
    assert (failed.code, failed.outputs) == (1, {"exit-code": "1", "checked": "false"})
    run = json.loads((repository / "storage-admin.sarif").read_text())["runs"][0]
    assert (run["results"], run["invocations"][0]["executionSuccessful"]) == ([], False)
    [example] = [block for block in (ROOT / "docs" / "ci.md").read_text().split("```") if "upload-sarif" in block]
    steps = yaml.safe_load(example.partition("\n")[2])["jobs"]["database"]["steps"]
    [check], [upload] = (
        [step for step in steps if name in step["uses"]] for name in ("storage-admin@", "upload-sarif")
    )
    assert upload["if"] == f"always() && steps.{check['id']}.outputs.checked == 'true'"
    assert "checked" in ACTION["outputs"]


def test_inputs_of_the_action_reach_the_check_and_are_no_code(repository: Path) -> None:
    given = {"against": "offline", "tables": "agents\n teams=team", "fail-on": "none", "annotate": "requirements.txt"}
    passed = run_action(repository, given, {})
    assert (passed.code, "2 tables: 2 current" in passed.out) == (0, True)
    passed = run_action(repository, {"against": "offline", "fail-on": "none"}, {})
    assert (passed.code, [a.level for a in annotated(passed.out)]) == (0, ["warning"])
    hostile = '$(touch "$HOME/x") `touch y`'
    wrong = run_action(repository, {"against": "offline", "tables": hostile}, {})
    assert (wrong.code, wrong.outputs) == (64, {"exit-code": "64", "checked": "false"})
    assert [a.message.partition(" does not name")[0] for a in annotated(wrong.out)] == ["""'"$HOME/x")'"""]
    wrong = run_action(repository, {"against": "offline", "lock-file": hostile}, {})
    assert (wrong.code, f"{hostile}: there is no such file" in wrong.out) == (1, True)
    assert not [name for name in ("x", "y") if (repository / name).exists()]
    moved = repository / "app"
    moved.mkdir()
    (repository / "storage-admin.lock").rename(moved / "storage-admin.lock")
    failed = run_action(repository, {"against": "offline", "working-directory": "app"}, {})
    assert annotated(failed.out)[0].properties["file"] == "app/storage-admin.lock"


def test_the_action_is_what_github_says_that_an_action_is() -> None:
    schema: Any = json.loads((DATA / "github-action.schema.json").read_text())
    jsonschema.validate(ACTION, schema)
    used = set(re.findall(r"inputs\.([\w-]+)", (ROOT / "action.yml").read_text()))
    assert used == set(ACTION["inputs"])
