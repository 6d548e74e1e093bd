"""Runs inside one released phidata or Agno: writes and reads sessions through its own storage classes.

Reads a list of jobs from standard input: ``{"do": "write" | "read" | "create" | "upgrade" | "kinds",
"backend", "url", "kind", "switched", "table", "sessions"}``. A session is ``{"session_id", "entity", "data"}``, and
may have a ``"memory"``.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
from typing import Any


def load(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def first(*paths: str) -> Any:
    for path in paths:
        with contextlib.suppress(ImportError, AttributeError):
            return load(path)
    return None


with contextlib.suppress(ImportError):
    importlib.import_module("phi.agent")  # phi.storage cannot be imported before it

CLASSES = {
    ("postgresql", "agent"): (
        "agno.storage.agent.postgres.PostgresAgentStorage",
        "phi.storage.agent.postgres.PgAgentStorage",
    ),
    ("sqlite", "agent"): ("agno.storage.agent.sqlite.SqliteAgentStorage", "phi.storage.agent.sqlite.SqlAgentStorage"),
    ("postgresql", "workflow"): (
        "agno.storage.workflow.postgres.PostgresWorkflowStorage",
        "phi.storage.workflow.postgres.PgWorkflowStorage",
    ),
    ("sqlite", "workflow"): (
        "agno.storage.workflow.sqlite.SqliteWorkflowStorage",
        "phi.storage.workflow.sqlite.SqlWorkflowStorage",
    ),
}
ONE_CLASS = {
    "postgresql": first("agno.storage.postgres.PostgresStorage"),
    "sqlite": first("agno.storage.sqlite.SqliteStorage"),
}
SESSIONS = {
    "agent": first(
        "agno.storage.session.agent.AgentSession",
        "agno.storage.agent.session.AgentSession",
        "phi.agent.session.AgentSession",
    ),
    "team": first("agno.storage.session.team.TeamSession"),
    "workflow": first(
        "agno.storage.session.workflow.WorkflowSession",
        "agno.storage.workflow.session.WorkflowSession",
        "phi.workflow.session.WorkflowSession",
    ),
    "workflow_v2": first("agno.storage.session.v2.workflow.WorkflowSession"),
}


def storage(job: dict[str, Any]) -> Any:
    options = {"table_name": job["table"]}
    options |= {"db_file": job["url"]} if job["backend"] == "sqlite" else {"db_url": job["url"]}
    made = ONE_CLASS[job["backend"]]
    if made is None:
        return first(*CLASSES[job["backend"], job["kind"]])(**options)
    if job["switched"]:
        found = made(**options)
        found.mode = job["kind"]
        return found
    return made(**options, mode=job["kind"])


def session(kind: str, wanted: dict[str, Any]) -> Any:
    entity = "workflow" if kind == "workflow_v2" else kind
    data = wanted["data"]
    facts = {
        "session_id": wanted["session_id"],
        "user_id": "ada",
        "session_data": data,
        f"{entity}_id": wanted["entity"],
    }
    facts[f"{entity}_data"] = data
    if kind == "workflow_v2":
        response = load("agno.run.v2.workflow.WorkflowRunResponse")
        facts |= {"workflow_name": "digest", "runs": [response(run_id="r1", content="Grüße")]}
    else:
        facts["memory"] = wanted.get("memory", {"runs": [data]})
    return SESSIONS[kind](**facts)


def content(kind: str, found: Any) -> Any:
    if found is None:
        return None
    entity = "workflow" if kind == "workflow_v2" else kind
    told = {
        name: getattr(found, name)
        for name in ("session_id", "user_id", "session_data", f"{entity}_id", f"{entity}_data")
    }
    if kind == "workflow_v2":
        told["runs"] = [run["content"] for run in found.to_dict()["runs"]]
    else:
        told["memory"] = found.memory
    return told


def do(job: dict[str, Any]) -> Any:
    if job["do"] == "kinds":
        return [kind for kind, found in SESSIONS.items() if found is not None]
    made = storage(job)
    if job["do"] == "upgrade":
        return str(load("storage_admin.upgrade_schema")(made).plan.status)
    if job["do"] == "create":
        return made.create()
    if job["do"] == "write":
        made.create()
        return [content(job["kind"], made.upsert(session(job["kind"], wanted))) for wanted in job["sessions"]]
    return {name: content(job["kind"], made.read(name)) for name in job["sessions"]}


answers = [do(job) for job in json.load(sys.stdin)]
print("\n=== answers\n" + json.dumps(answers))
