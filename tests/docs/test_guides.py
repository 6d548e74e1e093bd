"""The guides work as they are written: their commands and scripts are run, from the top of a page to its end."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from storage_admin import StorageAdmin
from storage_admin.demo import build
from tests.conftest import Database
from tests.docs.blocks import blocks, run
from tests.integration.alembic_projects import Project

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
AGNO_URL = "postgresql+psycopg://ai:secret@localhost:5432/ai"
URL = "postgresql://ai:secret@localhost:5432/ai"


def with_driver(database: Database) -> str:
    return database.url.replace("://", "+psycopg://")


def old_session(database: Database, table: str, session: str, question: str, user: str = "ada") -> None:
    """A session as an agent left it before Agno 1.4, used just now."""
    asked, answered = {"role": "user", "content": question}, {"role": "assistant", "content": "I see."}
    response = {"content": "I see.", "messages": [asked, answered], "session_id": session}
    memory = {"runs": [{"message": asked, "response": response}], "create_user_memories": False}
    database.run(
        f"INSERT INTO {database.table(table)} (session_id, user_id, memory, created_at) VALUES (%s, %s, %s, %s)",
        (session, user, json.dumps(memory), int(time.time())),
    )


def test_continue_a_conversation(postgres: Database, openai: str, tmp_path: Path) -> None:
    postgres.admin().upgrade(["recipe_sessions=agent"], to=7)
    page, model = DOCS / "continue-a-conversation.md", {"OPENAI_BASE_URL": openai, "OPENAI_API_KEY": "none"}
    [new] = run(page, tmp_path, model, {AGNO_URL: with_driver(postgres)})
    assert "This is your first message" in new
    postgres.run("DELETE FROM ai.recipe_sessions")
    old_session(postgres, "recipe_sessions", "of-2024", "How long do lentils cook?")
    [old] = run(page, tmp_path, model, {AGNO_URL: with_driver(postgres)})
    assert "Your last message was: How long do lentils cook?" in old


def test_from_agno(postgres: Database, tmp_path: Path) -> None:
    run(DOCS / "from-agno.md", tmp_path, instead={AGNO_URL: with_driver(postgres)})
    survey = StorageAdmin(f"sqlite:///{tmp_path / 'agents.db'}").check()
    assert {plan.table.name: plan.kinds for plan in survey.plans} == {
        "agent_sessions": ("agent",),
        "digests": ("agent", "workflow_v2"),  # the page says why
    }


def test_backup_and_restore(postgres: Database, tmp_path: Path) -> None:
    postgres.admin().upgrade(["agents=agent"])
    old_session(postgres, "agents", "trip", "Where shall I go in May?")
    run(DOCS / "backup-and-restore.md", tmp_path, {"STORAGE_ADMIN_DB_URL": postgres.url})
    assert (tmp_path / "backup.jsonl.gz").exists()
    with sqlite3.connect(tmp_path / "copies.db") as copies:
        assert copies.execute("SELECT session_id FROM copies").fetchall() == [("trip",)]
    copies.close()


def test_move_to_postgresql(postgres: Database, tmp_path: Path) -> None:
    source = tmp_path / "agents.db"
    StorageAdmin(f"sqlite:///{source}", create=True).upgrade(["agent_sessions=agent"], to=5)
    with sqlite3.connect(source) as agents:
        agents.executemany("INSERT INTO agent_sessions (session_id) VALUES (?)", [(f"s{n}",) for n in range(1_204)])
    agents.close()
    instead = {"postgresql://ai:secret@db.example/ai": postgres.url}
    instead["postgresql+psycopg://ai:...@db.example/ai"] = with_driver(postgres)
    run(DOCS / "move-to-postgresql.md", tmp_path, instead=instead)
    assert postgres.run("SELECT count(*) FROM ai.agent_sessions") == [(1_204,)]


def test_retention(postgres: Database, tmp_path: Path) -> None:
    postgres.admin().upgrade(["agent_sessions=agent"])
    for number in range(8):
        old_session(postgres, "agent_sessions", f"s{number}", "Where shall I go in May?")
    postgres.run("UPDATE ai.agent_sessions SET created_at = 1700000000 WHERE session_id <> 's0'")
    *_, script = run(DOCS / "retention.md", tmp_path, {"STORAGE_ADMIN_DB_URL": postgres.url}, {URL: postgres.url})
    assert script.startswith("3 0 agents.jsonl.zst"), script
    assert postgres.run("SELECT count(*), min(session_id) FROM ai.agent_sessions") == [(5, "s0")]


def test_personal_data(postgres: Database, tmp_path: Path) -> None:
    postgres.admin().upgrade(["agent_sessions=agent"])
    for user in ("ada", "eve"):
        old_session(postgres, "agent_sessions", f"of-{user}", "Where shall I go in May?", user)
    run(DOCS / "personal-data.md", tmp_path, {"STORAGE_ADMIN_DB_URL": postgres.url})
    assert postgres.run("SELECT session_id FROM ai.agent_sessions") == [("of-eve",)]
    assert "of-ada" in (tmp_path / "ada.jsonl").read_text()


def test_deployment(postgres: Database, tmp_path: Path) -> None:
    postgres.admin().upgrade(["agent_sessions=agent"])
    run(DOCS / "deployment.md", tmp_path, {"STORAGE_ADMIN_DB_URL": postgres.url})


def test_ci(postgres: Database, tmp_path: Path) -> None:
    postgres.admin().upgrade(["agent_sessions=agent"])
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    [checked] = run(DOCS / "ci.md", tmp_path, {"STORAGE_ADMIN_DB_URL": postgres.url})
    assert "1 table: 1 current" in checked


def test_alembic(postgres: Database, tmp_path: Path) -> None:
    postgres.admin().upgrade(["agent_sessions=agent"], to=4)
    name = postgres.url.rpartition("/")[2]
    shop = postgres.url.removesuffix(name) + f"shop_{name}"
    postgres.run(f"CREATE DATABASE shop_{name} TEMPLATE {name}")  # as it is before the migration
    project = Project(tmp_path, postgres)
    instead = {"postgresql://ai:secret@host/ai": postgres.url, "postgresql://ai:secret@host/shop": shop}
    for folder in ("db/migration", "changelog"):
        (tmp_path / folder).mkdir(parents=True)
    run(DOCS / "alembic.md", tmp_path, instead=instead)
    postgres.run(f"DROP DATABASE shop_{name}")
    assert len(project.heads()) == 1
    assert postgres.admin().check().status.value == "current"
    assert [path.suffix for path in (tmp_path / "changelog").iterdir()] == [".sql"]


def test_testing(postgres: Database, tmp_path: Path) -> None:
    postgres.admin().upgrade(["agent_sessions=agent", "support_team=team"])
    [printed] = run(DOCS / "testing.md", tmp_path, instead={"postgresql://ai@localhost/test": postgres.url})[-1:]
    assert "7 passed" in printed


def test_configuration(postgres: Database, tmp_path: Path) -> None:
    postgres.admin().upgrade(["agent_sessions=agent", "support_team=team"])
    (tmp_path / ".git").mkdir()
    instead = {
        "postgresql://ai:secret@localhost:5432/ai": postgres.url.replace("@", ":secret@"),
        "postgresql://ai:${STAGING_PASSWORD}@staging.example.com/ai": postgres.url,
        "ai:${PROD_PASSWORD}@${PROD_HOST:-db.example.com}/ai": postgres.url.partition("://")[2],
        'role = "owner"': 'role = "postgres"',
    }
    _, _, upgraded, *_ = run(DOCS / "configuration.md", tmp_path, instead=instead)
    assert "prod: 2 tables: 2 unchanged" in upgraded


def test_report(postgres: Database, tmp_path: Path) -> None:
    postgres.admin().upgrade([f"a_{number}=agent" for number in range(7)], to=4)
    postgres.admin().upgrade([f"b_{number}=agent" for number in range(5)])
    instead = {"postgresql://ai:secret@localhost:5432/ai": postgres.url}
    run(DOCS / "report.md", tmp_path, {"STORAGE_ADMIN_DB_URL": postgres.url}, instead)
    assert len(json.loads((tmp_path / "all.json").read_text())["tables"]) == 12


def test_troubleshooting(tmp_path: Path) -> None:
    url = build(tmp_path / "agents.db")
    StorageAdmin(url).upgrade()
    run(DOCS / "troubleshooting.md", tmp_path, {"STORAGE_ADMIN_DB_URL": url})


def test_the_readme(postgres: Database, tmp_path: Path) -> None:
    postgres.admin().upgrade(["agent_sessions=agent"], to=4)
    old_session(postgres, "agent_sessions", "trip", "Where shall I go in May?")
    (tmp_path / "copy.db").touch()
    instead = {AGNO_URL: with_driver(postgres), URL: postgres.url, "SESSION_ID": "trip"}
    run(
        ROOT / "README.md",
        tmp_path,
        {"STORAGE_ADMIN_DB_URL": postgres.url},
        {**instead, "--to URL": "--to sqlite:///copy.db"},
    )
    assert postgres.admin().check().status.value == "current"


def test_a_block_that_fails_or_prints_something_else_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```sh\nfalse\n```\n")
    with pytest.raises(AssertionError, match="exit code 1"):
        run(page, tmp_path)
    page.write_text(
        "```console\n$ echo one; echo two\none\n...\n```\n\n```python\nprint('three')\n```\n\n```text\nfour\n```\n"
    )
    with pytest.raises(AssertionError, match="says\nfour"):
        run(page, tmp_path)
    page.write_text("<!-- not run: no such thing -->\n```sh\nfalse\n```\n")
    assert not any(block.runs for block in blocks(page))
