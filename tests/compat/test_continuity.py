"""The continuity matrix: every shape that a release ever made, opened by a real agent, team or workflow of Agno 1.8.4.

`make matrix` prints it, with Agno's own class beside ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from agno.memory.agent import AgentMemory
from agno.memory.workflow import WorkflowMemory

from storage_admin import SchemaOutdated, Status
from storage_admin.naming import TableRef
from storage_admin.sessions import Sessions, conversation
from storage_admin.storage.keeping import BEFORE
from tests.compat.agents import run
from tests.compat.continuity import OLD_RUNS, STATE, fill, old_run, one_more_run, opened_as, rows, storage_of
from tests.compat.test_released_wheels import cannot_write, jobs
from tests.compat.wheels import RELEASES, run_client, run_script
from tests.conftest import Database
from tests.shapes import Shape, evolved_shapes, released_shapes

SHAPES = [*released_shapes(), *evolved_shapes()]
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape.dialect}-{shape.id}")
Opener = Callable[[Shape], Database]


@pytest.fixture
def database_of(request: pytest.FixtureRequest) -> Opener:
    names = {"postgresql": "postgres", "sqlite": "sqlite", "mysql": "mariadb"}
    return lambda shape: request.getfixturevalue(names[shape.dialect])


@every_shape
def test_every_old_conversation_goes_on_where_it_was(
    shape: Shape, database_of: Opener, openai: str, record_property: Callable[[str, object], None]
) -> None:
    database = database_of(shape)
    for kind in opened_as(shape):
        for mode in (kind, None):
            verdicts = {}
            for ours in (True, False):
                fill(database, shape, kind)
                options = {"mode": mode} if mode else {}
                opened = partial(storage_of, database, shape, ours=ours, auto=True, **options)
                verdicts[ours] = one_more_run(database, shape, kind, opened, openai)
            given = "mode=" if mode else "set later"
            line = (shape.dialect, shape.id, kind, given, str(verdicts[True]), str(verdicts[False]))
            record_property("matrix", line)
            assert verdicts[True].fine, line


@pytest.mark.parametrize("release", RELEASES)
def test_a_conversation_that_a_release_stored_goes_on_with_ours(
    release: str, postgres: Database, sqlite: Database, openai: str, tmp_path: Path
) -> None:
    [kinds] = run_client(release, [{"do": "kinds"}], tmp_path)
    databases = {"postgresql": postgres, "sqlite": sqlite}
    work = [job for job in jobs(release, [postgres, sqlite], kinds) if not cannot_write(release, job)]
    told = {"session_id": "s1", "entity": "x", "data": {"session_state": STATE}}
    for job in work:
        runs = [old_run(job["kind"], "s1", number) for number in range(OLD_RUNS)]
        job |= {"do": "write", "sessions": [told | {"memory": {"runs": runs}}]}
    run_client(release, work, tmp_path)
    for job in work:
        storage = databases[job["backend"]].storage(job["table"], auto_upgrade_schema=True)
        run(job["kind"], storage, openai, "s1", "one more")
        found = storage.read("s1")
        old = 1 if job["kind"] == "workflow_v2" else OLD_RUNS  # the client stores one run there
        assert len(found.to_dict().get("runs") or found.memory["runs"]) == old + 1, job
        assert STATE.items() <= found.session_data["session_state"].items(), job


# Of each form that runs had before Agno 1.4.
TALKS = [
    ("phidata==2.5.0", "agent"),
    ("phidata==2.7.10", "agent"),
    ("phidata==2.7.10", "workflow"),
    ("agno==1.0.0", "agent"),
    ("agno==1.1.10", "agent"),
    ("agno==1.1.10", "workflow"),
    ("agno==1.2.0", "team"),
]


@pytest.mark.parametrize(("release", "kind"), TALKS)
def test_what_something_real_of_before_agno_1_4_said_goes_on_in_another_database(
    release: str, kind: str, sqlite: Database, postgres: Database, openai: str, tmp_path: Path
) -> None:
    said = ["hello there", "ask moon how it is"][: 1 if kind == "team" else 2]  # a second run of a team fails in 1.2
    run_script(release, "talk.py", [kind, sqlite.dsn, "talks", "s1", openai, *said], tmp_path)
    Sessions(sqlite.url).copy(postgres.url)
    before = postgres.storage("talks", mode=kind).read("s1").memory
    answer = run(kind, postgres.storage("talks", auto_upgrade_schema=True), openai, "s1", "what was my last message?")
    if kind != "workflow":  # whose own agent has no storage
        assert answer == f"Your last message was: {said[-1]}"
    run(kind, postgres.storage("talks"), openai, "s1", "one more")
    after = postgres.storage("talks", mode=kind).read("s1").memory
    assert len(after["runs"]) == len(said) + 2
    lost = set(texts(before)) - set(texts(after))
    assert lost <= {"RunResponse", "developer"}  # the type of an event, and what OpenAI calls the system
    [session] = Sessions(postgres.url).show("s1", ["ai.talks"])
    assert len({message.run for message in conversation(session)}) == len(said) + 2


@pytest.mark.parametrize(("kind", "memory"), [("agent", AgentMemory), ("workflow", WorkflowMemory)])
def test_what_something_real_of_1_1_10_said_goes_on_with_the_memory_of_then(
    kind: str, memory: Any, sqlite: Database, openai: str, tmp_path: Path
) -> None:
    run_script("agno==1.1.10", "talk.py", [kind, sqlite.dsn, "talks", "s1", openai, "hello there"], tmp_path)
    storage = sqlite.storage("talks", mode=kind, auto_upgrade_schema=True)
    before = storage.read("s1").memory
    run(kind, storage, openai, "s1", "hello again", memory=memory())
    after = storage.read("s1").memory
    assert len(after["runs"]) == 2
    then, now = ([found["runs"][0]["response"][name] for name in ("run_id", "content")] for found in (before, after))
    assert then == now
    assert BEFORE not in after


def texts(value: Any) -> Iterator[str]:
    """All texts in some JSON."""
    if isinstance(value, str):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from texts(part)


@every_shape
def test_without_the_flag_an_outdated_table_is_refused_untouched_until_it_is_upgraded(
    shape: Shape, database_of: Opener, openai: str
) -> None:
    database = database_of(shape)
    for kind in opened_as(shape):
        fill(database, shape, kind)
        schema = "ai" if database.dialect.has_schemas else None
        [plan] = database.admin().plan([TableRef(shape.name, schema, (kind,))]).plans
        opened = partial(storage_of, database, shape, ours=True, auto=False, mode=kind)
        if plan.status is Status.OUTDATED:
            before = rows(database, shape)
            storage = opened()
            with pytest.raises(SchemaOutdated, match="auto_upgrade_schema=True.*storage-admin upgrade"):
                storage.read("s1")
            assert one_more_run(database, shape, kind, opened, openai).raised == "SchemaOutdated"
            assert rows(database, shape) == before
            storage.upgrade_schema()
            storage.db_engine.dispose()
        assert one_more_run(database, shape, kind, opened, openai).fine


@pytest.mark.parametrize("release", RELEASES)
def test_a_conversation_in_a_file_of_a_release_goes_on_in_postgres_after_a_copy(
    release: str, postgres: Database, sqlite: Database, openai: str, tmp_path: Path
) -> None:
    [kinds] = run_client(release, [{"do": "kinds"}], tmp_path)
    work = [job for job in jobs(release, [sqlite], kinds) if not cannot_write(release, job)]
    told = {"session_id": "s1", "entity": "x", "data": {"session_state": STATE}}
    for job in work:
        runs = [old_run(job["kind"], "s1", number) for number in range(OLD_RUNS)]
        job |= {"do": "write", "sessions": [told | {"memory": {"runs": runs}}]}
    run_client(release, work, tmp_path)
    done = Sessions(sqlite.url).copy(postgres.url)
    assert all(table.equal for table in done.tables)
    for job in work:
        storage = postgres.storage(job["table"])  # current already: no flag
        run(job["kind"], storage, openai, "s1", "one more")
        found = storage.read("s1")
        old = 1 if job["kind"] == "workflow_v2" else OLD_RUNS
        assert len(found.to_dict().get("runs") or found.memory["runs"]) == old + 1, job
        assert STATE.items() <= found.session_data["session_state"].items(), job
        [session] = Sessions(postgres.url).show("s1", [f"ai.{job['table']}"])
        assert len({message.run for message in conversation(session)}) == old + 1
