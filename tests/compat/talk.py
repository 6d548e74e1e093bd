"""Something real of one release says something: talk.py KIND FILE TABLE SESSION URL MESSAGE... in a SQLite file."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import Any

PACKAGE = "phi" if importlib.util.find_spec("phi") else "agno"
STORAGES = {
    "agent": ("storage.agent.sqlite.SqliteAgentStorage", "storage.agent.sqlite.SqlAgentStorage"),
    "team": ("storage.sqlite.SqliteStorage",),
    "workflow": ("storage.workflow.sqlite.SqliteWorkflowStorage", "storage.workflow.sqlite.SqlWorkflowStorage"),
}


def load(*paths: str) -> Any:
    """A class of the release that is on the path, which is not the one that is type-checked."""
    for path in paths:
        module, _, name = f"{PACKAGE}.{path}".rpartition(".")
        try:
            return getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError):
            continue
    raise LookupError(paths)


def moon() -> str:
    """The phase of the moon."""
    return "waning"


def made(kind: str, url: str, **facts: Any) -> Any:
    """An agent, a team of one, or a workflow that asks an agent."""
    model = load("models.openai.OpenAIChat", "model.openai.OpenAIChat")(id="test", base_url=url, api_key="none")
    agent = load("agent.Agent")
    if kind == "agent":
        return agent(model=model, description="You are kind.", tools=[moon], telemetry=False, **facts)
    member = agent(name="speaker", model=model, telemetry=False)
    if kind == "team":
        return load("team.Team")(members=[member], mode="collaborate", team_id="t1", model=model, **facts)
    workflow, response = load("workflow.Workflow"), load("run.response.RunResponse")

    def run(self: Any, message: str) -> Any:
        return response(run_id=self.run_id, content=member.run(message).content)

    return type("Talk", (workflow,), {"run": run})(workflow_id="w1", **facts)


def main(kind: str, file: str, table: str, session: str, url: str, *messages: str) -> None:
    """Say each message in turn."""
    storage = load(*STORAGES[kind])(table_name=table, db_file=file)
    talker = made(kind, url, storage=storage, session_id=session)
    for message in messages:
        talker.run(message=message)


main(*sys.argv[1:])
