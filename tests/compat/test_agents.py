"""Real agents, teams, workflows and the Playground of Agno 1.8.4 on our storage, beside what Agno's own would do."""

from __future__ import annotations

import asyncio
import copy
from functools import partial
from typing import Any

import pytest
from agno.agent import Agent
from agno.memory.agent import AgentMemory
from agno.memory.team import TeamMemory
from agno.playground import Playground
from agno.team import Team
from fastapi.testclient import TestClient

from storage_admin import SchemaOutdated, SessionOwnedByAnother
from storage_admin.errors import RunsNotRead
from tests.compat.agents import KINDS, make, model, run, speaker
from tests.compat.continuity import fill, one_more_run, rows, storage_of
from tests.conftest import Database
from tests.shapes import released_shapes
from tests.storage.test_start import statements

AGNO_1_1_10 = {"postgresql": "PG-A2", "sqlite": "SQ-A2"}  # there was no MySQL yet
old_backends = pytest.mark.parametrize("database", ["postgres", "sqlite"], indirect=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_talk_goes_on_in_a_new_object(database: Database, openai: str, kind: str) -> None:
    storage = database.storage(auto_upgrade_schema=True)
    assert run(kind, storage, openai, "s1", "hello there") == "You said: hello there"
    again = run(kind, database.storage(), openai, "s1", "what was my last message?")
    if kind in ("agent", "team"):  # the workflow's own agent has no storage
        assert again == "Your last message was: hello there"
    found = storage.read("s1")
    runs = found.to_dict().get("runs") or found.memory["runs"]
    assert len(runs) == 2
    assert found.user_id == "ada"


@old_backends
def test_an_agent_with_two_runs_on_a_table_of_agno_1_1_10_has_three_after_one_more_and_one_with_agnos_own(
    database: Database, openai: str
) -> None:
    shape = next(shape for shape in released_shapes() if shape.id == AGNO_1_1_10[database.dialect.name])
    found = {}
    for ours in (True, False):
        fill(database, shape, "agent")
        opened = partial(storage_of, database, shape, ours=ours, auto=True)
        verdict = one_more_run(database, shape, "agent", opened, openai)
        found[ours] = (len(rows(database, shape)["s1"]["memory"]["runs"]), verdict.state)
    assert found == {True: (3, True), False: (1, False)}


@pytest.mark.parametrize(("kind", "memory"), [("agent", AgentMemory), ("team", TeamMemory)])
def test_runs_of_before_agno_1_4_go_on_with_the_memory_of_then_and_with_that_of_today(
    database: Database, openai: str, kind: str, memory: Any
) -> None:
    def say(text: str, **facts: Any) -> str:
        return run(kind, database.storage(auto_upgrade_schema=True), openai, "s1", text, **facts)

    say("hello there", memory=memory())
    storage = database.storage(mode=kind)
    stored = storage.read("s1")
    assert stored.memory["runs"][0].keys() & {"message", "response"}
    assert storage.upsert(stored).memory == stored.memory == storage.read("s1").memory
    assert say("what was my last message?", memory=memory()) == "Your last message was: hello there"
    assert say("and what was my last message?") == "Your last message was: what was my last message?"
    assert [run["session_id"] for run in storage.read("s1").memory["runs"]] == ["s1"] * 3
    with pytest.raises(RunsNotRead, match=r"3 of its runs are in the form of Agno 1.4 and later.*memory=Memory\(\)"):
        say("hello again", memory=memory())
    assert len(storage.read("s1").memory["runs"]) == 3
    emptied = storage.read("s1")
    emptied.memory = None  # on purpose
    assert storage.upsert(emptied).memory is None
    assert storage.read("s1").memory is None


def test_what_no_memory_of_today_can_read_it_does_not_replace(database: Database, openai: str) -> None:
    make("agent", (storage := database.storage(auto_upgrade_schema=True)), openai, "s1").run("hello there")
    stored = storage.read("s1")
    broken = {"message": {"role": "user", "content": "hi"}, "response": {"run_id": "r1", "messages": [{"content": 1}]}}
    stored.memory = {"create_user_memories": False, "runs": [broken]}
    database.storage(mode="agent").upsert(stored)
    with pytest.raises(RunsNotRead, match=r"1 of its runs are in the form of before Agno 1.4.*memory=AgentMemory\(\)"):
        run("agent", database.storage(), openai, "s1", "hello again")
    assert database.storage(mode="agent").read("s1").memory["runs"] == [broken]


@old_backends
def test_an_agent_on_an_outdated_table_without_the_flag_fails_instead_of_starting_empty(
    database: Database, openai: str
) -> None:
    shape = next(shape for shape in released_shapes() if shape.id == AGNO_1_1_10[database.dialect.name])
    fill(database, shape, "agent")
    storage = storage_of(database, shape, ours=True, auto=False)
    with pytest.raises(SchemaOutdated):
        run("agent", storage, openai, "s1", "hello")


def test_a_stream_and_an_asynchronous_run_are_stored_too(database: Database, openai: str) -> None:
    storage = database.storage()
    streamed = make("agent", storage, openai, "s1").run("one", stream=True)
    assert "".join(event.content for event in streamed if event.content).strip() == "You said: one"
    asyncio.run(make("agent", storage, openai, "s1").arun("two"))
    assert len(storage.read("s1").memory["runs"]) == 2


def test_tasks_of_one_loop_share_a_storage_between_an_agent_and_a_team(database: Database, openai: str) -> None:
    storage = database.storage(auto_upgrade_schema=True)

    async def talk() -> None:
        talkers = [make(("agent", "team")[n % 2], storage, openai, f"s{n}") for n in range(6)]
        for _ in range(2):
            await asyncio.gather(*(talker.arun("hello") for talker in talkers))

    asyncio.run(talk())
    storage.mode = "agent"
    assert [len(storage.read(f"s{n}").memory["runs"]) for n in range(0, 6, 2)] == [2, 2, 2]
    storage.mode = "team"
    assert [len(storage.read(f"s{n}").memory["runs"]) for n in range(1, 6, 2)] == [2, 2, 2]


def test_a_run_costs_one_read_and_one_upsert(database: Database, openai: str) -> None:
    storage = database.storage(mode="agent", auto_upgrade_schema=True)
    talker = make("agent", storage, openai, "s1")
    talker.run("hello")
    with statements(storage.db_engine) as sent:
        talker.run("hello")
    returned = ["SELECT"] if storage.dialect.name == "mysql" else []  # it has no RETURNING
    assert [statement.split()[0] for statement in sent] == ["SELECT", "INSERT", *returned]


def test_the_session_of_another_user_is_not_taken_over(database: Database, openai: str) -> None:
    storage = database.storage()
    run("agent", storage, openai, "s1", "hello", user_id="ada")
    with pytest.raises(SessionOwnedByAnother):
        run("agent", storage, openai, "s1", "hello", user_id="mallory")
    assert len(storage.read("s1", "ada").memory["runs"]) == 1


def test_an_agent_renames_lists_searches_and_deletes_its_sessions(database: Database, openai: str) -> None:
    storage = database.storage()
    for number in range(3):
        run("agent", storage, openai, f"s{number}", f"message {number}")
    agent = make("agent", storage, openai, "s2")
    agent.rename_session("my talk", "s2")
    assert storage.read("s2").session_data["session_name"] == "my talk"
    search = agent.get_previous_sessions_messages_function(num_history_sessions=2)
    assert "message" in search()
    agent.delete_session("s2")
    assert storage.read("s2") is None


def test_a_team_with_a_member_on_the_same_storage_keeps_both(database: Database, openai: str) -> None:
    storage = database.storage(auto_upgrade_schema=True)
    member = speaker(openai, storage=storage, session_id="of-the-member")
    team = Team(members=[member], team_id="t1", model=model(openai), storage=storage, session_id="of-the-team")
    member.run("hello")
    team.run("hello")
    storage.mode = "agent"
    assert len(storage.read("of-the-member").memory["runs"]) == 1
    storage.mode = "team"
    assert len(storage.read("of-the-team").memory["runs"]) == 1


def test_a_deep_copy_of_an_agent_shares_the_engine_of_its_storage(database: Database, openai: str) -> None:
    storage = database.storage()
    agent: Agent = make("agent", storage, openai, "s1")
    copied: Any = agent.deep_copy()
    assert copied.storage is not storage
    assert copied.storage.db_engine is storage.db_engine
    copied.run("hello")
    assert storage.read("s1") is not None
    assert copy.deepcopy(storage).read("s1") is not None


@pytest.mark.parametrize("asynchronous", [True, False], ids=["async", "sync"])
def test_the_playground_runs_lists_shows_renames_and_deletes(
    database: Database, openai: str, asynchronous: bool
) -> None:
    talkers: dict[str, Any] = {
        kind: make(kind, database.storage(kind, auto_upgrade_schema=True), openai, "unused") for kind in KINDS[:3]
    }
    for talker in talkers.values():
        talker.session_id = None
    playground = Playground(
        agents=[talkers["agent"]], teams=[talkers["team"]], workflows=[talkers["workflow"]], app_id="test"
    )
    client = TestClient(playground.get_app(use_async=asynchronous))
    ids = {"agents": "speaker", "teams": "t1", "workflows": "w1"}
    for group, entity in ids.items():
        base = f"/v1/playground/{group}/{entity}"
        said: dict[str, Any] = {"data": {"message": "hello", "stream": "false", "session_id": "s1", "user_id": "ada"}}
        if group == "workflows":
            said = {"json": {"input": {"message": "hello"}, "session_id": "s1", "user_id": "ada"}}
        assert client.post(f"{base}/runs", **said).status_code == 200
        listed = client.get(f"{base}/sessions", params={"user_id": "ada"}).json()
        assert [session["session_id"] for session in listed] == ["s1"]
        shown = client.get(f"{base}/sessions/s1", params={"user_id": "ada"}).json()
        assert shown["session_id"] == "s1"
        renamed = client.post(f"{base}/sessions/s1/rename", json={"name": "new name", "user_id": "ada"})
        assert renamed.status_code == 200
        assert client.delete(f"{base}/sessions/s1", params={"user_id": "ada"}).status_code == 200
        assert client.get(f"{base}/sessions", params={"user_id": "ada"}).json() in ([], {"detail": "No sessions found"})
