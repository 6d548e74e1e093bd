"""A real agent of one released Agno says something: talk.py FILE TABLE SESSION URL MESSAGE... in a SQLite file."""

from __future__ import annotations

import importlib
import sys
from typing import Any


def load(path: str) -> Any:
    """A class of the release that is on the path, which is not the one that is type-checked."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def main(file: str, table: str, session: str, url: str, *messages: str) -> None:
    """Say each message in turn."""
    storage = load("agno.storage.agent.sqlite.SqliteAgentStorage")(table_name=table, db_file=file)
    model = load("agno.models.openai.OpenAIChat")(id="test", base_url=url, api_key="none")
    agent = load("agno.agent.Agent")(model=model, storage=storage, session_id=session, telemetry=False)
    for message in messages:
        agent.run(message)


main(*sys.argv[1:])
