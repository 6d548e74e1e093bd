"""Real agents, teams and workflows of the installed Agno, one run each, on a storage that a test gives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agno.agent import Agent
from agno.models.openai import OpenAIChat
from agno.run.response import RunResponse
from agno.team import Team
from agno.workflow import Workflow
from agno.workflow.v2 import Step, Workflow as WorkflowV2

KINDS = ("agent", "team", "workflow", "workflow_v2")


class Talk(Workflow):
    """A workflow of the first generation with one agent."""

    base_url = ""

    def run(self, **said: Any) -> Iterator[RunResponse]:
        yield RunResponse(content=speaker(self.base_url).run(said["message"]).content)


def model(base_url: str) -> OpenAIChat:
    return OpenAIChat(id="test", base_url=base_url, api_key="none", max_retries=0)


def speaker(base_url: str, **options: Any) -> Agent:
    return Agent(name="speaker", agent_id="speaker", model=model(base_url), telemetry=False, **options)


def make(kind: str, storage: Any, base_url: str, session_id: str, user_id: str = "ada") -> Any:
    """An object of Agno that keeps its sessions in a storage."""
    facts: dict[str, Any] = {"storage": storage, "session_id": session_id, "user_id": user_id}
    if kind == "agent":
        return speaker(base_url, add_history_to_messages=True, **facts)
    if kind == "team":
        facts |= {"add_history_to_messages": True, "telemetry": False}
        return Team(members=[speaker(base_url)], team_id="t1", model=model(base_url), **facts)
    if kind == "workflow":
        return type("Talk", (Talk,), {"base_url": base_url})(workflow_id="w1", **facts)
    return WorkflowV2(name="digest", workflow_id="w2", steps=[Step(name="say", agent=speaker(base_url))], **facts)


def run(
    kind: str, storage: Any, base_url: str, session_id: str, message: str, user_id: str = "ada", memory: Any = None
) -> str:
    """One run in a session, with the memory that is the default or another; what was answered."""
    talker = make(kind, storage, base_url, session_id, user_id)
    talker.memory = memory
    if kind == "workflow":
        return str([response.content for response in talker.run(message=message)][-1])
    return str(talker.run(message).content)
