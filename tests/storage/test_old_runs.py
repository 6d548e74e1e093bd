"""Runs of before Agno 1.4, looked at by a memory of then and by one of today."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from agno.memory.agent import AgentRun
from agno.run.response import RunResponse
from hypothesis import given, strategies as st

from storage_admin.storage.keeping import Keeper
from storage_admin.storage.old_runs import OldRun, as_of_today, is_old, readable_by_both, what_only_then_had
from storage_admin.storage.sessions import AgentSession

NAMES = ("runs", "chats", "message", "messages", "response", "run_id", "role", "content", "member_responses", "input")
words = st.text(max_size=3)
messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "developer", "tool"]), "content": words}
)
responses = st.fixed_dictionaries(
    {"content": words},
    optional={"run_id": words, "messages": st.lists(messages, max_size=3), "model": words, "event": words},
)
runs = st.fixed_dictionaries(
    {"response": responses},
    optional={
        "message": messages,
        "messages": st.lists(messages, max_size=2),
        "input": st.dictionaries(words, words, max_size=2),
        "member_responses": st.lists(st.fixed_dictionaries({"response": responses}), max_size=2),
    },
)
memories = st.fixed_dictionaries(
    {"runs": st.lists(runs, min_size=1, max_size=3), "create_user_memories": st.booleans()},
    optional={
        "messages": st.lists(messages, max_size=4),
        "summary": st.fixed_dictionaries({"summary": words}),
        "memories": st.lists(st.fixed_dictionaries({"memory": words}), max_size=2),
    },
)


@given(memories)
def test_every_word_of_then_is_in_the_runs_of_today_or_beside_them(memory: dict[str, Any]) -> None:
    today = [as_of_today(run, "s1") for run in memory["runs"]]
    kept = set(texts([today, what_only_then_had(memory)]))
    assert set(texts(memory)) - kept <= {"developer", ""}  # which is called system today


@given(memories)
def test_a_memory_that_is_only_looked_at_is_the_one_that_was_stored(memory: dict[str, Any]) -> None:
    before = json.dumps(memory)
    readable = readable_by_both(memory, "s1")
    assert json.dumps(readable) == json.dumps(copy.deepcopy(readable)) == json.dumps(memory) == before


@given(memories)
def test_a_run_of_then_is_read_by_the_classes_of_then_and_of_today(memory: dict[str, Any]) -> None:
    for run in readable_by_both(memory, "s1")["runs"]:
        assert is_old(run)
        found = AgentRun.model_validate(run)
        assert found.response is not None
        assert found.response.content == run["response"]["content"]
        assert (run["session_id"], "team_id" in run) == ("s1", False)
        expected = as_of_today(run, "s1")
        read = RunResponse.from_dict(run)
        assert (read.run_id, read.content, read.session_id) == (expected["run_id"], expected["content"], "s1")
        assert [message.content for message in read.messages or ()] == [m["content"] for m in expected["messages"]]


scalars = st.none() | st.booleans() | st.integers() | words
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)
)


@given(st.dictionaries(st.sampled_from(NAMES), anything, max_size=4))
def test_what_no_memory_ever_wrote_is_given_as_it_is_and_not_lost_in_silence(memory: dict[str, Any]) -> None:
    before = json.dumps(memory)
    session = AgentSession("s1", memory=readable_by_both(memory, "s1"))
    keeper = Keeper()
    keeper.note(session)
    assert json.dumps(session.memory).replace('"chats"', '"runs"') == before.replace('"chats"', '"runs"')
    runs = (session.memory or {}).get("runs")
    for run in runs if isinstance(runs, list) else []:
        if isinstance(run, OldRun):
            assert run["messages"] is not None


def test_a_run_without_an_id_has_the_same_one_each_time() -> None:
    run = {"message": {"role": "user", "content": "hello"}}
    assert as_of_today(run, "s1")["run_id"] == as_of_today(dict(run), "s2")["run_id"]
    assert (
        as_of_today(run, "s1")["run_id"] != as_of_today({"message": {"role": "user", "content": "bye"}}, "s1")["run_id"]
    )


def test_what_was_asked_and_answered_are_the_messages_of_a_run_that_stored_none() -> None:
    asked = {"role": "user", "content": "hello"}
    run = {"message": asked, "response": {"content": "good day"}}
    assert as_of_today(run, "s1")["messages"] == [asked, {"role": "assistant", "content": "good day"}]


def test_runs_of_today_and_other_memories_are_left_as_they_are() -> None:
    today = {"runs": [{"session_id": "s1", "content": "x"}]}
    others: list[Any] = [None, [], {"runs": None}, {"chats": "x"}]
    for memory in (today, *others):
        assert readable_by_both(memory, "s1") is memory


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from texts(part)
