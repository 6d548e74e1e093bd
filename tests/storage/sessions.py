"""Sessions to store, of every kind, with Agno's own classes."""

from __future__ import annotations

from typing import Any

from agno.run.v2.workflow import WorkflowRunResponse
from agno.storage.session.agent import AgentSession
from agno.storage.session.team import TeamSession
from agno.storage.session.v2.workflow import WorkflowSession as WorkflowSessionV2
from agno.storage.session.workflow import WorkflowSession

from storage_admin.storage.sessions import Kind

CLASSES: dict[str, Any] = {
    "agent": AgentSession,
    "team": TeamSession,
    "workflow": WorkflowSession,
    "workflow_v2": WorkflowSessionV2,
}
KINDS: tuple[Kind, ...] = ("agent", "team", "workflow", "workflow_v2")


def session(kind: str = "agent", session_id: str = "s1", user_id: str | None = "ada", **more: Any) -> Any:
    """A session with something in every field that its kind has."""
    entity = kind.removesuffix("_v2")
    facts: dict[str, Any] = {
        "session_id": session_id,
        "user_id": user_id,
        "session_data": {"session_name": "Grüße", "session_state": {"n": 2**60, "x": 1.5, "none": None}},
        "extra_data": {"tags": ["a", "b"]},
        f"{entity}_id": f"{entity}-1",
        f"{entity}_data": {"model": {"id": "gpt"}},
    }
    if kind == "workflow_v2":
        facts |= {"workflow_name": "digest", "runs": [WorkflowRunResponse(run_id="r1", content="☃")]}
    else:
        facts["memory"] = {"runs": [{"run_id": "r1", "messages": [{"role": "user", "content": "hello ☃"}]}]}
    if kind in ("agent", "team"):
        facts |= {"team_session_id": "t0", "workflow_session_id": "w0"}
    return CLASSES[kind](**(facts | more))


def content(stored: Any) -> dict[str, Any]:
    """Everything in a session but its times."""
    told: dict[str, Any] = stored.to_dict()
    return {name: value for name, value in told.items() if name not in ("created_at", "updated_at")}
