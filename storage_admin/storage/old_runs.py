"""Runs as agents, teams and workflows kept them before Agno 1.4: ``{"message": ..., "response": ...}``.

The memory that Agno has by default since then (agno.memory.v2) takes runs in another form only: of these it logs
"Failed to load runs from memory", begins empty, and stores what it has in their place. The memory of then
(agno.memory.agent.AgentMemory, agno.memory.team.TeamMemory, agno.memory.workflow.WorkflowMemory) reads nothing else.
A storage cannot see which of the two will read, so it gives runs that either can.
"""

from __future__ import annotations

import json
from types import NoneType
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_OID, uuid5

if TYPE_CHECKING:
    from collections.abc import Iterator

RUNS = "runs"
CHATS = "chats"  # what phidata 2.5 called them
OLD_MEMORY = "create_user_memories"  # a key that AgentMemory and TeamMemory always store, and no other memory does
OLD_KEYS = frozenset({"message", "input", "messages", "response", "member_runs", "member_responses"})  # of a run
MARKS = frozenset({"message", "response"})  # by which it is told from one of today, which has neither
COMPLETED = "COMPLETED"  # agno.run.base.RunStatus
SAID = ("role", "content", "tool_calls", "tool_call_id")  # by which a message is known again
# Agno 0.1 and phidata left the name in a message that OpenAI has for the role; today such a message cannot be sent.
DEVELOPER, SYSTEM = "developer", "system"

_NONE = object()


class OldRun(dict[str, Any]):
    """A run of then to whom looks at it, and one of today to `agno.run.response.RunResponse.from_dict`.

    That takes it to pieces with `pop`; before it, a memory looks for ``session_id``, ``run_id`` and ``team_id``.
    """

    session_id: str | None = None

    def __missing__(self, key: str) -> Any:
        return as_of_today(self, self.session_id)[key]

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or (key == "team_id" and key in as_of_today(self, self.session_id))

    def get(self, key: str, default: Any = None) -> Any:
        """Of a key that only a run of today has, what that would have."""
        return self[key] if super().__contains__(key) else as_of_today(self, self.session_id).get(key, default)

    def pop(self, key: str, *default: Any) -> Any:
        """Of a key that a run of then has not, or not only: become one of today first."""
        if is_old(self) and key not in OLD_KEYS - {"messages"}:
            today = as_of_today(self, self.session_id)
            self.clear()
            self.update(today)
        return super().pop(key, *default)


def is_old(run: object) -> bool:
    """Whether it is a run in the form of then."""
    return isinstance(run, dict) and not dict.__contains__(run, "session_id") and not MARKS.isdisjoint(run.keys())


def _has_its_types(run: dict[str, Any]) -> bool:
    """Whether it can be made one of today. What else there is no memory ever wrote, and none reads it."""
    response = dict.get(run, "response")
    inner = response if isinstance(response, dict) else {}
    lists = [dict.get(run, name) for name in ("messages", "member_runs", "member_responses")]
    lists += [inner.get(name) for name in ("messages", "member_responses")]
    return isinstance(response, (dict, NoneType)) and all(isinstance(found, (list, NoneType)) for found in lists)


def readable_by_both(memory: Any, session_id: str | None) -> Any:
    """The memory of a session, whose runs of then the memories of then and of today can read; itself without such."""
    if not isinstance(memory, dict):
        return memory
    key = RUNS if RUNS in memory else CHATS
    runs = memory.get(key)
    if not isinstance(runs, list) or not any(map(is_old, runs)):
        return memory
    found = [_readable(run, session_id) if is_old(run) and _has_its_types(run) else run for run in runs]
    return {RUNS if name == key else name: found if name == key else value for name, value in memory.items()}


def _readable(run: dict[str, Any], session_id: str | None) -> OldRun:
    readable = OldRun(run)
    readable.session_id = session_id
    return readable


def as_of_today(run: dict[str, Any], session_id: str | None) -> dict[str, Any]:
    """A run of then as `agno.run.response.RunResponse.to_dict` would write it."""
    response = _response(run)
    today = {name: value for name, value in response.items() if value is not None}
    today |= {"messages": list(_messages(run, response)), "run_id": id_of_then(run)}
    if session_id is not None:
        today["session_id"] = session_id
    return {"status": COMPLETED} | today if response else today


def id_of_then(run: dict[str, Any]) -> str:
    """The id of a run of then; one that is always the same, where it has none."""
    found = _response(run).get("run_id")
    return (
        found
        if found and isinstance(found, str)
        else str(uuid5(NAMESPACE_OID, json.dumps(run, sort_keys=True, default=str)))
    )


def what_only_then_had(memory: dict[str, Any]) -> dict[str, Any]:
    """What a memory of then says that its runs, in the form of today, do not: a summary, memories of the user, ...

    Settings are none of that. ``runs`` has what is said of a run elsewhere than in its response, with its ``run_id``.
    """
    runs = [run for run in memory[RUNS] if is_old(run) and _has_its_types(run)]
    today = [as_of_today(run, None) for run in runs]
    heard = {_said(message) for run in today for message in run["messages"]}
    rest = {name: value for name, value in memory.items() if name != RUNS and value and isinstance(value, (dict, list))}
    if isinstance(messages := rest.get("messages"), list):
        rest["messages"] = [message for message in messages if _said(message) not in heard]
    beside = [(new["run_id"], _beside(run, new)) for run, new in zip(runs, today, strict=True)]
    rest[RUNS] = [{"run_id": name} | found for name, found in beside if found]
    return {name: value for name, value in rest.items() if value}


def _messages(run: dict[str, Any], response: dict[str, Any]) -> Iterator[Any]:
    """The messages of a run: those of its response, and before them the one that it answers, if that is not among them.

    Where the response has none they are those of the run, or else what was asked and what was answered.
    """
    asked = dict.get(run, "message")
    messages = response.get("messages") or dict.get(run, "messages")
    if not messages:
        content = response.get("content")
        messages = [{"role": "assistant", "content": content}] if isinstance(content, str) else []
    if isinstance(asked, dict) and _said(asked) not in map(_said, messages):
        messages = [asked, *messages]
    for message in messages:
        yield {**message, "role": SYSTEM} if isinstance(message, dict) and message.get("role") == DEVELOPER else message


def _beside(run: dict[str, Any], today: dict[str, Any]) -> dict[str, Any]:
    """What a run says that it would not say in the form of today."""
    rest = {name: run[name] for name in run if name not in {"message", "messages", "response"} and run[name]}
    heard = {_said(message) for message in today["messages"]}
    rest["messages"] = [message for message in dict.get(run, "messages") or () if _said(message) not in heard]
    answered = [response.get("run_id") for response in today.get("member_responses", ()) if isinstance(response, dict)]
    for name in ("member_runs", "member_responses"):  # as TeamRun called them, and as it stored them
        rest[name] = [found for found in rest.get(name, ()) if _response(found).get("run_id", _NONE) not in answered]
    return {name: value for name, value in rest.items() if value}


def _response(run: Any) -> dict[str, Any]:
    response = dict.get(run, "response") if isinstance(run, dict) else None
    return response if isinstance(response, dict) else {}


def _said(message: Any) -> object:
    """What a message is known again by."""
    if not isinstance(message, dict):
        return json.dumps(message, sort_keys=True, default=str)
    if message.get("role") == DEVELOPER:
        message = message | {"role": SYSTEM}
    return tuple(value if isinstance(value, str) else json.dumps(value) for value in map(message.get, SAID))
