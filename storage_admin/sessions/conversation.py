"""The conversation of a session, whatever release wrote it: phidata, Agno 1.x, agents, teams and workflows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from storage_admin.sessions.reading import Session

# Where releases kept the messages of a whole session, the newest name first.
HISTORIES = ("messages", "chat_history", "llm_messages")
INPUTS = ("input", "message", "user_message", "workflow_input")
OUTPUTS = ("response", "content", "output")


class ToolCall(msgspec.Struct, frozen=True):
    """A function that a model asked for, with its arguments as they were written."""

    name: str
    arguments: str


class Message(msgspec.Struct, frozen=True):
    """One message. ``run`` counts from 1; ``at`` is seconds since 1970; ``tool`` names whose result it is."""

    role: str
    content: str
    run: int
    at: int | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0


def conversation(session: Session) -> tuple[Message, ...]:
    """The messages of a session in order; what a run took over from the history before it is left out."""
    memory = session.values.get("memory")
    runs = session.values.get("runs")
    if not isinstance(runs, list):
        runs = memory.get("runs") if isinstance(memory, dict) else None
    found = tuple(
        message for number, run in enumerate(runs or (), 1) if isinstance(run, dict) for message in _of_run(run, number)
    )
    if not found and isinstance(memory, dict):
        histories = (memory[name] for name in HISTORIES if isinstance(memory.get(name), list))
        found = tuple(_messages(next(histories, ()), 1))
    return found


def _of_run(run: Mapping[str, Any], number: int) -> Iterator[Message]:
    response = run.get("response")
    for holder in (run, response):
        if isinstance(holder, dict) and isinstance(holder.get("messages"), list) and holder["messages"]:
            yield from _messages(holder["messages"], number)
            return
    at = _whole(run.get("created_at"))
    asked = next((run[name] for name in INPUTS if run.get(name) is not None), None)
    if asked is not None:
        yield _message(asked, number) if _is_message(asked) else Message("user", _text(asked), number, at)
    answer = next((run[name] for name in OUTPUTS if run.get(name) is not None), None)
    if answer is not None:
        content = answer.get("content", answer) if isinstance(answer, dict) else answer
        yield Message("assistant", _text(content), number, at)


def _messages(messages: Iterable[Any], number: int) -> Iterator[Message]:
    for message in messages:
        if _is_message(message) and not message.get("from_history"):
            yield _message(message, number)


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and "role" in value


def _message(message: Mapping[str, Any], number: int) -> Message:
    metrics = message.get("metrics")
    metrics = metrics if isinstance(metrics, dict) else {}
    calls = message.get("tool_calls")
    return Message(
        role=str(message["role"]),
        content=_text(message.get("content")),
        run=number,
        at=_whole(message.get("created_at")),
        tool_calls=tuple(_call(call) for call in calls if isinstance(call, dict)) if isinstance(calls, list) else (),
        tool=message.get("tool_name") or message.get("name") if message["role"] == "tool" else None,
        input_tokens=_tokens(metrics, "input_tokens", "prompt_tokens"),
        output_tokens=_tokens(metrics, "output_tokens", "completion_tokens"),
    )


def _call(call: Mapping[str, Any]) -> ToolCall:
    function = call.get("function")
    function = function if isinstance(function, dict) else call
    return ToolCall(_text(function.get("name")), _text(function.get("arguments")))


def _tokens(metrics: Mapping[str, Any], *names: str) -> int:
    value = next((metrics[name] for name in names if metrics.get(name) is not None), 0)
    values = value if isinstance(value, list) else [value]
    return sum(int(number) for number in values if isinstance(number, (int, float)))


def _text(value: Any) -> str:
    """What a person reads: a text, the texts of a list of parts, or JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in value):
        return "\n".join(part["text"] for part in value)
    return json.dumps(value, ensure_ascii=False)


def _whole(value: Any) -> int | None:
    return int(value) if isinstance(value, (int, float)) else None
