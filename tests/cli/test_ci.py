"""What `check` gives to CI services, with a database or without: annotations of GitHub, JUnit, SARIF, exit codes."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import pytest
import yaml
from lxml import etree

from storage_admin.catalog import load_catalog
from storage_admin.cli.ci import sarif
from storage_admin.cli.ci.results import RULES
from storage_admin.naming import TableRef
from tests.cli.conftest import Result
from tests.conftest import Database

Call = Callable[..., Result]
HEAD = load_catalog().head
DATA = Path(__file__).parents[1] / "data" / "ci"
ROOT = Path(__file__).parents[2]
CI_OUTPUTS = ("github", "junit", "sarif")


class Annotation(NamedTuple):
    level: str
    properties: dict[str, str]
    message: str


def annotated(text: str) -> list[Annotation]:
    """What GitHub's runner makes of an output (src/Runner.Common/ActionCommand.cs)."""
    found = []
    for line in re.split(r"\r\n|\r|\n", text):
        if match := re.fullmatch(r"::(\w+) (.*?)::(.*)", line):
            pairs = (pair.split("=", 1) for pair in match[2].split(","))
            properties = {key: unescaped(value, ("%3A", ":"), ("%2C", ",")) for key, value in pairs}
            found.append(Annotation(match[1], properties, unescaped(match[3])))
    return found


def unescaped(text: str, *more: tuple[str, str]) -> str:
    for code, character in (("%0D", "\r"), ("%0A", "\n"), *more, ("%25", "%")):
        text = text.replace(code, character)
    return text


def junit(text: str) -> Any:
    root = etree.fromstring(text.encode())
    etree.XMLSchema(etree.parse(DATA / "junit-10.xsd")).assertValid(root)
    return root


def sarif_run(text: str) -> Any:
    log = json.loads(text)
    jsonschema.validate(log, json.loads((DATA / "sarif-2.1.0.schema.json").read_text()))
    return log["runs"][0]


@pytest.fixture
def all_states(sqlite: Database) -> list[str]:
    """A database with a table in each state; the arguments of a check that names them all."""
    admin = sqlite.admin()
    admin.upgrade(["fine=agent", "drifted=agent", "newer=agent"])
    admin.upgrade(["old=agent"], to=6)
    sqlite.run("ALTER TABLE drifted ADD COLUMN tenant TEXT NOT NULL")
    sqlite.run(f"UPDATE storage_admin_revisions SET to_version = {HEAD + 1} WHERE table_name = 'newer'")
    return ["fine", "old", "gone=team", "drifted", "newer", "--db-url", sqlite.url]


# --- which states fail -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fail_on", "code"),
    [(None, 4), ("pending", 2), ("drift", 3), ("pending,drift", 3), ("ahead, pending", 4), ("none", 0)],
)
def test_a_state_that_is_not_named_is_shown_and_does_not_fail(
    call: Call, all_states: list[str], fail_on: str | None, code: int
) -> None:
    options = ["--fail-on", fail_on] if fail_on else []
    for output in ("table", "json", "yaml", *CI_OUTPUTS):
        result = call("check", *all_states, *options, "-o", output)
        assert result.code == code
        assert all(name in result.out for name in ("old", "gone", "drifted", "newer"))
        said = "Nothing of it fails this check" if fail_on == "none" else "Not all of it fails this check"
        assert (said in result.err) == (code < 4)


def test_a_check_that_nothing_fails_says_so(call: Call, all_states: list[str]) -> None:
    assert "Nothing of it fails this check: --fail-on none" in call("check", *all_states, "--fail-on", "none").err
    assert "Not all of it fails this check: --fail-on pending" in call("check", *all_states, "--fail-on", "pending").err


def test_a_state_that_there_is_not_is_refused_with_what_may_be_meant(call: Call) -> None:
    result = call("check", "--fail-on", "pending,drfit")
    assert (result.code, result.out) == (64, "")
    assert "'drfit' is no state. There are: pending, drift, ahead, or none. Did you mean drift?" in result.err


# --- the formats -------------------------------------------------------------------------------------------


def test_github_gets_an_annotation_and_a_summary(
    call: Call, all_states: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("summary.md").write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
    found = annotated(call("check", *all_states, "--fail-on", "drift", "-o", "github").out)
    assert [(a.level, a.properties["title"]) for a in found] == [
        ("warning", "pending: old"),
        ("warning", "missing: gone"),
        ("error", "drift: drifted"),
        ("warning", "ahead: newer"),
    ]
    sql = call("plan", "--sql", *all_states).out
    assert "storage-admin upgrade gone=team\nCREATE TABLE gone (" in found[1].message
    first, *statements = found[0].message.splitlines()
    assert first.startswith("old (agent), version 6 (agno 1.1.14) -> 10: add team_session_id; create 1 index.")
    assert "\n".join(statements) in sql
    summary = Path("summary.md").read_text()
    assert summary.startswith("before\n### storage-admin check\n")
    assert "\n".join(statements) in summary
    assert "| <code>old</code> | pending | no |" in summary
    assert "| <code>drifted</code> | drift | yes |" in summary


def test_a_summary_that_cannot_be_written_changes_no_exit_code(
    call: Call, all_states: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = call("check", *all_states, "-o", "github")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "/nodir/s.md")
    after = call("check", *all_states, "-o", "github")
    assert (after.code, after.out) == (before.code, before.out)
    assert "No summary of this step: /nodir/s.md" in after.err


def test_nothing_in_a_name_ends_an_annotation_or_a_cell(
    call: Call, sqlite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
    hostile = ["100%25", "a::b,c", "under_score", "x\n::error::y", "```|<b>`", "nul\x01"]
    sqlite.admin().upgrade([TableRef(name, kinds=("agent",)) for name in hostile], to=6)
    outputs = {output: call("check", "--db-url", sqlite.url, "-o", output).out for output in CI_OUTPUTS}
    found = annotated(outputs["github"])
    assert sorted(a.properties["title"] for a in found) == sorted(
        f"pending: {name}" for name in ["100%25", "a::b,c", "under_score", "x\\n::error::y", "```|<b>`", "nul\\x01"]
    )
    assert {len(outputs["github"].splitlines()), len(found)} == {len(hostile)}
    assert all(any(name in a.message.split("ALTER TABLE")[1] for a in found) for name in hostile)
    assert len(junit(outputs["junit"]).findall(".//failure")) == len(hostile)
    assert len(sarif_run(outputs["sarif"])["results"]) == len(hostile)
    summary = Path("summary.md").read_text()
    assert "<b>" not in re.sub(r"^(`{3,})sql$.*?^\1$", "", summary, flags=re.DOTALL | re.MULTILINE)
    assert summary.count("````sql\n") == 1
    assert r"| <code>under\_score</code> |" in summary
    assert "<summary>under_score</summary>" in summary


def test_many_tables_fit_into_a_summary_and_github_shows_ten(
    call: Call, sqlite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
    sqlite.admin().upgrade(["sessions=agent"], to=4)
    create = str(sqlite.run("SELECT sql FROM sqlite_master WHERE name = 'sessions'")[0][0])
    names = [f"tenant_{n:03}_{'with_a_long_name' * 60}" for n in range(299)]
    sqlite.run(";".join(["BEGIN", *(create.replace("sessions", name, 1) for name in names), "COMMIT"]))
    result = call("check", "--db-url", sqlite.url, "-o", "github")
    assert len(annotated(result.out)) == 300
    assert "GitHub shows 10 errors and 10 warnings of a step" in result.err
    summary = Path("summary.md").read_bytes()
    assert 900_000 < len(summary) < 1_048_576
    assert b"parts are left out; the log of the step has all.\n" in summary


def test_junit_has_a_case_for_each_table(call: Call, all_states: list[str]) -> None:
    [suite] = junit(call("check", *all_states, "--fail-on", "pending,ahead", "-o", "junit").out)
    assert {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "5",
        "failures": "3",
        "errors": "0",
        "skipped": "1",
    }
    cases = {case.get("name"): [(child.tag, child.get("type")) for child in case] for case in suite.iter("testcase")}
    assert cases == {
        "fine": [],
        "old": [("failure", "pending")],
        "gone": [("failure", "missing")],
        "drifted": [("skipped", None)],
        "newer": [("failure", "ahead")],
    }
    assert "ALTER TABLE old ADD COLUMN team_session_id" in suite.find("testcase[@name='old']/failure").text


def test_sarif_has_a_rule_for_each_state_and_fingerprints_that_stay(
    call: Call, all_states: list[str], sqlite: Database
) -> None:
    def run() -> Any:
        return sarif_run(call("check", *all_states, "--fail-on", "pending", "-o", "sarif").out)

    first = run()
    rules = [rule["id"] for rule in first["tool"]["driver"]["rules"]]
    assert rules == ["pending", "missing", "drift", "ahead"]
    found = [(r["ruleId"], rules[r["ruleIndex"]], r["level"]) for r in first["results"]]
    assert found == [
        ("pending", "pending", "error"),
        ("missing", "missing", "error"),
        ("drift", "drift", "warning"),
        ("ahead", "ahead", "warning"),
    ]
    sqlite.run("DROP INDEX ix_old_user_id")  # more is pending, elsewhere in another file
    Path("storage-admin.toml").write_text("# a line\n# another\n")
    second = run()
    prints = [[r["partialFingerprints"] for r in log["results"]] for log in (first, second)]
    assert prints[0] == prints[1]
    assert len({fingerprint["primaryLocationLineHash"] for fingerprint in prints[0]}) == 4
    assert first["results"][0]["message"] != second["results"][0]["message"]


def test_each_rule_has_a_section_of_the_docs_and_a_link_where_these_are_published(
    call: Call, all_states: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "ci.md").read_text()
    assert re.findall(r"^### (\w+)$", page, flags=re.MULTILINE) == [rule.id for rule in RULES.values()]
    monkeypatch.setattr(sarif, "documentation", lambda: "https://docs.example/")
    run = sarif_run(call("check", *all_states, "-o", "sarif").out)
    assert run["tool"]["driver"]["rules"][2]["helpUri"] == "https://docs.example/ci.md#drift"


def test_what_is_current_gets_no_annotation(call: Call, sqlite: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
    sqlite.admin().upgrade(["sessions=agent"])
    assert call("check", "--db-url", sqlite.url, "-o", "github") == Result(0, "", "1 table: 1 current\n")
    assert "1 table, 1 current" in Path("summary.md").read_text()
    assert sarif_run(call("check", "--db-url", sqlite.url, "-o", "sarif").out)["results"] == []
    assert not junit(call("check", "--db-url", sqlite.url, "-o", "junit").out).findall(".//failure")


def test_a_check_that_cannot_be_made_is_said_in_each_format_and_without_the_password(call: Call) -> None:
    url = "postgresql://ai:canary7f3e9@127.0.0.1:1/ai"
    outputs = {output: call("check", "--db-url", url, "-o", output) for output in CI_OUTPUTS}
    assert {(result.code, "canary" in result.out + result.err) for result in outputs.values()} == {(1, False)}
    [said] = annotated(outputs["github"].out)
    assert said.level == "error"
    assert said.message.startswith("Cannot connect to postgresql+psycopg://ai:***@127.0.0.1:1/ai: ")
    [case] = junit(outputs["junit"].out).iter("testcase")
    assert case.find("error").get("message") == said.message
    [invocation] = sarif_run(outputs["sarif"].out)["invocations"]
    assert invocation["executionSuccessful"] is False
    assert invocation["toolExecutionNotifications"][0]["message"]["text"] == said.message


# --- where annotations point -------------------------------------------------------------------------------

FILES = {
    "the settings": ({"storage-admin.toml": '# storage-admin\ndb-url = "x"\n'}, [], "storage-admin.toml:1"),
    "the section, not a requirement": (
        {"pyproject.toml": '[project]\ndependencies = ["storage-admin"]\n\n[tool.storage-admin]\ndb-url = "x"\n'},
        [],
        "pyproject.toml:4",
    ),
    "the requirement": (
        {"pyproject.toml": "[project]\n", "requirements.txt": "agno\nstorage_admin>=0.1\n"},
        [],
        "requirements.txt:2",
    ),
    "a file that is named": (
        {"app.py": "import x\nSqliteStorage(table_name='old_ones')\nSqliteStorage(table_name='old')\n"},
        ["--annotate", "app.py"],
        "app.py:3",
    ),
    "a named file that says nothing of it": ({"app.py": "import x\n"}, ["--annotate", "app.py"], "app.py:1"),
    "nowhere": ({"pyproject.toml": "[project]\n"}, [], ":"),
}


@pytest.mark.parametrize("case", FILES)
def test_an_annotation_points_at_what_speaks_of_the_table_else_of_us(
    call: Call, sqlite: Database, case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqlite.admin().upgrade(["old=agent"], to=6)
    files, options, expected = FILES[case]
    folder = tmp_path / "work" / "app"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("STORAGE_ADMIN_DB_URL", sqlite.url)
    for name, text in files.items():
        Path(name).write_text(text)
    [found] = annotated(call("check", *options, "-o", "github").out)
    assert f"{found.properties.get('file', '')}:{found.properties.get('line', '')}" == expected
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path / "work"))  # paths are from the root of the repository
    [found] = annotated(call("check", *options, "-o", "github").out)
    assert found.properties.get("file", "") == (
        f"app/{expected.partition(':')[0]}" if files and expected != ":" else ""
    )


# --- offline -----------------------------------------------------------------------------------------------


@pytest.fixture
def locked(call: Call, database: Database) -> Database:
    """A database with an old table, and its lock file."""
    database.admin().upgrade([f"{database.table('fine')}=agent"])
    database.admin().upgrade([f"{database.table('old')}=agent"], to=6)
    assert call("lock", "--db-url", database.url) == Result(0, "", "storage-admin.lock: 2 tables\n")
    return database


def test_without_a_database_check_says_what_it_says_with_it_and_the_sql(call: Call, locked: Database) -> None:
    script = call("plan", "--sql", "--db-url", locked.url).out.split("\n\n", 1)[1]
    offline = call("check", "--against", "offline")
    assert offline.code == 2
    assert offline.out.endswith(script)
    assert offline.out.startswith(call("check", "--db-url", locked.url).out)
    document = call("check", "--against", "offline", "-o", "json").json
    jsonschema.validate(document, json.loads((ROOT / "docs" / "json" / "survey.schema.json").read_text()))
    planned = call("plan", "--db-url", locked.url, "-o", "json").json
    assert [t["statements"] for t in document["tables"]] == [t["statements"] for t in planned["tables"]]
    assert document["database"]["url"] == "storage-admin.lock"
    assert yaml.safe_load(call("check", "--against", "offline", "-o", "yaml").out) == document


def test_an_annotation_without_a_database_points_at_the_line_of_the_table(call: Call, locked: Database) -> None:
    [found] = annotated(call("check", "--against", "offline", "-o", "github").out)
    assert found.properties["file"] == "storage-admin.lock"
    line = Path("storage-admin.lock").read_text().split("\n")[int(found.properties["line"]) - 1]
    assert line == f'    "{locked.table("old")}",'
    [live] = annotated(call("check", "--db-url", locked.url, "-o", "github").out)
    assert live == found  # the lock file names the table


def test_the_lock_file_is_written_when_something_is_different_and_checked_without_writing(
    call: Call, locked: Database
) -> None:
    lock, url = Path("storage-admin.lock"), ("--db-url", locked.url)
    text = lock.read_text()
    assert call("lock", *url).err == "storage-admin.lock: 2 tables, unchanged\n"
    assert call("lock", "--check", *url).code == 0
    locked.admin().upgrade()
    assert call("lock", "--check", *url) == Result(
        2,
        "",
        f"storage-admin.lock is not what the database holds: changed {locked.table('old')}. "
        "To write it anew: storage-admin lock\n",
    )
    assert lock.read_text() == text
    assert call("lock", *url).code == 0
    assert call("check", "--against", "offline") == Result(0, "", "2 tables: 2 current\n")
    assert call("lock", locked.table("old"), "--lock-file", "one.lock", *url).code == 0
    assert call("check", "--against", "offline", "--lock-file", "one.lock").err == "1 table: 1 current\n"


def test_a_check_of_the_lock_file_names_the_tables_that_differ(call: Call, sqlite: Database) -> None:
    sqlite.admin().upgrade(["a=agent", "b=agent", "c=agent"])
    lock, url = Path("storage-admin.lock"), ("--db-url", sqlite.url)
    missing = call("lock", "--check", *url)
    assert (
        missing.code,
        "storage-admin.lock is not what the database holds: there is no such file" in missing.err,
    ) == (
        2,
        True,
    )
    call("lock", *url)
    sqlite.run("DROP TABLE a; ALTER TABLE b ADD COLUMN mine TEXT")
    sqlite.admin().upgrade(["d=team"])
    said = call("lock", "--check", *url)
    assert said.code == 2
    assert "holds: changed b; new d; gone a. To write it anew: storage-admin lock\n" in said.err
    assert (
        "holds: changed b; gone a, c. To write it anew: storage-admin lock b\n"
        in call("lock", "--check", "b", *url).err
    )
    call("lock", *url)
    text = lock.read_text()
    for old, new, words in (("head = 10", "head = 9", "it is of version 9"), ("# The", "#  The", "another one")):
        lock.write_text(text.replace(old, new))
        assert words in call("lock", "--check", *url).err
    lock.write_text(text)
    assert call("lock", "--check", *url).code == 0


def test_the_lock_file_is_looked_for_as_the_settings_are_and_begun_beside_them(
    call: Call, sqlite: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqlite.admin().upgrade(["sessions=agent"], to=6)
    inner = tmp_path / "app" / "src"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    url = ("--db-url", sqlite.url)
    assert call("lock", *url).err == "storage-admin.lock: 1 table\n"  # no repository, no settings
    (inner / "storage-admin.lock").unlink()
    (tmp_path / ".git").mkdir()
    (tmp_path / "app" / "storage-admin.toml").touch()
    written = call("lock", *url)
    assert written.err == "../storage-admin.lock: 1 table\n"
    assert call("lock", *url).err == "../storage-admin.lock: 1 table, unchanged\n"
    assert call("check", "--against", "offline").code == 2
    [found] = annotated(call("check", "--against", "offline", "-o", "github").out)
    assert found.properties["file"] == "app/storage-admin.lock"
    assert annotated(call("check", *url, "-o", "github").out) == [found]
    (tmp_path / "app" / "storage-admin.lock").rename(tmp_path / "storage-admin.lock")
    assert call("lock", "--check", *url).code == 0
    assert call("lock", "--lock-file", "own.lock", *url).err == "own.lock: 1 table\n"


def test_a_kind_that_there_is_not_is_a_mistake_of_the_file_with_its_line(call: Call, sqlite: Database) -> None:
    sqlite.admin().upgrade(["sessions=agent"])
    call("lock", "--db-url", sqlite.url)
    lock = Path("storage-admin.lock")
    lock.write_text(lock.read_text().replace('kinds = ["agent"]', 'kinds = ["agnt"]', 1))
    line = next(number for number, line in enumerate(lock.read_text().split("\n"), 1) if line.startswith("    "))
    wrong = call("check", "--against", "offline")
    assert wrong.code == 1
    assert f"storage-admin.lock: line {line}: " in wrong.err
    assert "'agnt' is no kind of session. The kinds are: " in wrong.err


def test_tables_and_a_schema_narrow_a_check_without_a_database_down(call: Call, locked: Database) -> None:
    name = locked.table("fine")
    assert call("check", "--against", "offline", name).err == "1 table: 1 current\n"
    assert call("check", "--against", "offline", name, f"{locked.table('old')}=agent").code == 2
    unknown = call("check", "--against", "offline", "missing")
    assert (unknown.code, "storage-admin.lock: it holds no table missing" in unknown.err) == (1, True)
    nothing = call("check", "--against", "offline", "--schema", "elsewhere")
    assert (nothing.code, "storage-admin.lock: it holds no table of the schema elsewhere" in nothing.err) == (1, True)


def test_what_is_wrong_with_a_check_without_a_database_is_said(call: Call) -> None:
    missing = call("check", "--against", "offline", "-o", "github")
    assert missing.code == 1
    assert annotated(missing.out)[0].message == (
        "storage-admin.lock: there is no such file. `storage-admin lock` writes it."
    )
    both = call("check", "--against", "offline", "--db-url", "sqlite:///x.db")
    assert (both.code, "leave out --db-url" in both.err) == (64, True)


# --- the hooks of pre-commit -------------------------------------------------------------------------------


@pytest.mark.parametrize("hook", yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text()), ids=lambda h: h["id"])
def test_a_hook_of_pre_commit_runs_when_its_files_change_and_fails_on_what_is_pending(
    call: Call, sqlite: Database, hook: dict[str, Any]
) -> None:
    assert {"id", "name", "entry", "language", "files", "pass_filenames"} <= set(hook)
    assert hook["pass_filenames"] is False
    own = "requirements-dev.txt" if hook["language"] == "system" else ".pre-commit-config.yaml"
    for file in ("storage-admin.lock", "app/storage-admin.lock", own):
        assert re.search(hook["files"], file)
    assert not re.search(hook["files"], "storage-admin.lock.md")
    program, *arguments = shlex.split(hook["entry"])
    assert program == "storage-admin"
    sqlite.admin().upgrade(["sessions=agent"], to=6)
    call("lock", "--db-url", sqlite.url)
    assert call(*arguments).code == 2
    sqlite.admin().upgrade()
    call("lock", "--db-url", sqlite.url)
    assert call(*arguments).code == 0
