"""What was said, whatever release wrote it."""

from __future__ import annotations

from typing import Any

from storage_admin.schema import TableName
from storage_admin.sessions import Session, conversation


def session_of(kind: str = "agent", **values: Any) -> Session:
    return Session(TableName(None, "t"), kind, {"session_id": "s", **values})


def said(**values: Any) -> list[tuple[str, str, int]]:
    return [(m.role, m.content, m.run) for m in conversation(session_of(**values))]


def test_the_messages_of_each_run_without_the_history_that_it_took_over() -> None:
    runs = [
        {"messages": [{"role": "system", "content": "be nice"}, {"role": "user", "content": "a"}]},
        {"messages": [{"role": "user", "content": "a", "from_history": True}, {"role": "user", "content": "b"}]},
    ]
    assert said(memory={"runs": runs}) == [("system", "be nice", 1), ("user", "a", 1), ("user", "b", 2)]


def test_runs_of_agno_1_0_keep_their_messages_in_the_response() -> None:
    run = {
        "message": {"role": "user", "content": "a"},
        "response": {
            "content": "b",
            "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
        },
    }
    assert said(memory={"runs": [run], "messages": []}) == [("user", "a", 1), ("assistant", "b", 1)]
    run["response"] = {"content": "b"}
    assert said(memory={"runs": [run]}) == [("user", "a", 1), ("assistant", "b", 1)]


def test_phidata_kept_one_history() -> None:
    memory = {"chat_history": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "runs": []}
    assert said(memory=memory) == [("user", "a", 1), ("assistant", "b", 1)]


def test_workflows_have_inputs_and_outputs() -> None:
    old = {"input": {"topic": "☃"}, "response": {"content": "done"}}
    assert said(memory={"runs": [old]}) == [("user", '{"topic": "☃"}', 1), ("assistant", "done", 1)]
    new = [{"input": "go", "content": "gone", "created_at": 5}]
    [asked, answered] = conversation(session_of("workflow_v2", runs=new))
    assert (asked.content, answered.content, answered.at) == ("go", "gone", 5)


def test_tools_parts_and_tokens_are_told_apart() -> None:
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "look"}, {"type": "text", "text": "here"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"function": {"name": "find", "arguments": '{"q": 1}'}}, "odd"],
            "metrics": {"input_tokens": 7, "output_tokens": [1, 2]},
            "created_at": 1_700_000_000,
        },
        {"role": "tool", "tool_name": "find", "content": {"found": 3}, "metrics": {"prompt_tokens": 2}},
    ]
    asked, called, answered = conversation(session_of(memory={"runs": [{"messages": messages}]}))
    assert asked.content == "look\nhere"
    assert [(c.name, c.arguments) for c in called.tool_calls] == [("find", '{"q": 1}')]
    assert (called.input_tokens, called.output_tokens, called.at) == (7, 3, 1_700_000_000)
    assert (answered.tool, answered.content, answered.input_tokens) == ("find", '{"found": 3}', 2)


def test_whatever_else_is_in_a_row_is_no_conversation_and_no_error() -> None:
    odd: tuple[Any, ...] = (
        None,
        "text",
        [1],
        {"runs": "x"},
        {"runs": [1, None, {}]},
        {"messages": [3]},
        {"runs": [{"messages": 1}]},
    )
    for memory in odd:
        assert said(memory=memory, runs=None) == []
