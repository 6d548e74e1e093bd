"""The examples run as their users run them: in processes of their own, one after the other."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import psycopg
import pytest

from examples.services import Files
from tests.conftest import Database

ROOT = Path(__file__).parents[2]


@pytest.fixture
def recipes() -> Iterator[str]:
    handler = partial(Files, directory=str(ROOT / "examples"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as files:
        Thread(target=files.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{files.server_port}/recipes.pdf"
        files.shutdown()


def started(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "examples" / "agent_with_storage.py"), *arguments]
    return subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, check=False)


def cook(database: Database, openai: str, recipes: str, *arguments: str) -> tuple[str, str]:
    done = started(
        *arguments,
        DATABASE_URL=database.url.replace("://", "+psycopg://"),
        OPENAI_BASE_URL=openai,
        OPENAI_API_KEY="none",
        PDF_URL=recipes,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_the_example_says_in_a_line_what_it_lacks() -> None:
    unset = started("hello")
    assert (unset.returncode, unset.stderr.splitlines()[0][:23]) == (1, "DATABASE_URL is not set")
    nobody = started("hello", DATABASE_URL="postgresql://ai:sesame@127.0.0.1:1/ai")
    assert nobody.returncode == 1
    assert nobody.stderr.startswith("Cannot connect to postgresql+psycopg://ai:***@127.0.0.1:1/ai")
    assert "Traceback" not in nobody.stderr


def test_a_second_process_answers_from_the_history_and_the_documents(
    postgres: Database, openai: str, recipes: str
) -> None:
    try:
        postgres.run("CREATE EXTENSION vector; DROP EXTENSION vector")
    except psycopg.errors.FeatureNotSupported:
        pytest.skip("this PostgreSQL has no pgvector")
    said, told = cook(postgres, openai, recipes, "--user", "ada", "How long do I steam glutinous rice?")
    assert "Steam glutinous rice for twenty-five minutes" in said
    assert "A new session" in told
    said, told = cook(postgres, openai, recipes, "--user", "ada", "What was my last message?")
    assert "Your last message was: How long do I steam glutinous rice?" in said
    assert "Continuing session" in told
    said, _ = cook(postgres, openai, recipes, "--user", "bob", "What was my last message?")
    assert "This is your first message" in said
    said, _ = cook(postgres, openai, recipes, "--user", "ada", "--new", "What was my last message?")
    assert "This is your first message" in said
    tables = postgres.run("SELECT tablename FROM pg_tables WHERE schemaname = 'ai' ORDER BY 1")
    assert tables == [("recipe_sessions",), ("recipes",), ("storage_admin_revisions",)]
