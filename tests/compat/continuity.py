"""One old table, one real run of Agno 1.8.4 on it, and what became of the conversation that was in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from agno.run.v2.workflow import WorkflowRunResponse
from agno.storage.mysql import MySQLStorage as AgnoMySQL
from agno.storage.postgres import PostgresStorage as AgnoPostgres
from agno.storage.sqlite import SqliteStorage as AgnoSqlite

from tests.compat.agents import run
from tests.conftest import STORAGES, Database
from tests.shapes import SECONDS, Shape

AGNO: dict[str, Any] = {"postgresql": AgnoPostgres, "mysql": AgnoMySQL}

OLD_RUNS = 2
STATE = {"topic": "Grüße", "steps": [1, 2.5, None]}


@dataclass(frozen=True)
class Verdict:
    """What is in the row after one more run. ``others``: every other row and column is as it was."""

    old_runs: int
    new_runs: int
    state: bool
    others: bool
    raised: str = ""

    @property
    def fine(self) -> bool:
        return (self.old_runs, self.new_runs, self.state, self.others, self.raised) == (OLD_RUNS, 1, True, True, "")

    def __str__(self) -> str:
        lost = [
            "" if self.old_runs == OLD_RUNS else f"LOST {OLD_RUNS - self.old_runs} old runs",
            "" if self.new_runs == 1 else "LOST the new run",
            "" if self.state else "LOST the state",
            "" if self.others else "LOST something else",
            f"raised {self.raised}" if self.raised else "",
        ]
        return "kept + new" if self.fine else ", ".join(filter(None, lost))


def opened_as(shape: Shape) -> tuple[str, ...]:
    """The kinds that a table of this shape may be given to: those that it holds, and the next generation."""
    younger = ("workflow_v2",) if "workflow" in shape.kinds else ()
    return tuple(dict.fromkeys((*shape.kinds, *younger)))


def old_run(kind: str, session: str, number: int) -> dict[str, Any]:
    if kind == "workflow_v2":
        run = WorkflowRunResponse(run_id=f"{session}-old{number}", session_id=session, content=f"answer {number} ☃")
        return dict(run.to_dict())
    return {
        "run_id": f"{session}-old{number}",
        "session_id": session,
        f"{kind}_id": "x",
        "content": f"answer {number} ☃",
        "messages": [{"role": "user", "content": f"question {number}"}, {"role": "assistant", "content": "answer"}],
        "status": "COMPLETED",
        "created_at": SECONDS,
    }


def fill(database: Database, shape: Shape, kind: str) -> None:
    """Create the table, and two sessions of two runs each in it."""
    if database.dialect.has_schemas:
        cascade = "" if database.dialect.name == "mysql" else "CASCADE"
        database.run(f"DROP SCHEMA IF EXISTS ai {cascade}; CREATE SCHEMA ai")
    else:
        Path(database.dsn).unlink(missing_ok=True)
    database.run(shape.ddl)
    for number in range(2):
        values = {name: value(name, sql, kind, f"s{number + 1}") for name, sql in shape.columns}
        sign = "%s" if database.dialect.has_schemas else "?"
        marks = ", ".join([sign] * len(values))
        statement = f"INSERT INTO {database.table(shape.name)} ({', '.join(values)}) VALUES ({marks})"
        database.run(statement, tuple(values.values()))


def value(name: str, sql: str, kind: str, session: str) -> Any:
    if name == "session_id":
        return session
    if name == "user_id":
        return "ada"
    if sql in ("bigint", "integer"):
        return SECONDS
    if sql not in ("json", "jsonb"):
        return None if name.startswith(("team_session", "agent_id", "team_id")) else f"{name} of {session}"
    runs = [old_run(kind, session, number) for number in range(OLD_RUNS)]
    known: dict[str, Any] = {
        "memory": {"runs": runs},
        "runs": runs,
        "session_data": {"session_state": STATE, "session_name": "a name"},
    }
    return json.dumps(known.get(name, {"kept": name}))


def rows(database: Database, shape: Shape) -> dict[str, dict[str, Any]]:
    """The rows as the database has them, by session id; JSON is parsed."""
    engine = database.engine()
    with engine.connect() as connection:
        found = connection.execute(sa.text(f"SELECT * FROM {database.table(shape.name)}")).mappings().all()
    engine.dispose()
    json_columns = {name for name, sql in shape.columns if sql in ("json", "jsonb")} | {"runs", "extra_data"}
    return {
        row["session_id"]: {
            name: json.loads(value) if name in json_columns and isinstance(value, str) else value
            for name, value in row.items()
        }
        for row in found
    }


def storage_of(database: Database, shape: Shape, *, ours: bool, auto: bool, **options: Any) -> Any:
    """A storage for the table, ours or Agno's, that knows nothing from an earlier one."""
    options |= {"auto_upgrade_schema": auto}
    if not ours and not database.dialect.has_schemas:
        return AgnoSqlite(shape.name, db_file=database.dsn, **options)
    made = (STORAGES if ours else AGNO)[database.dialect.name]
    return made(shape.name, db_engine=database.engine(), **options)


def one_more_run(database: Database, shape: Shape, kind: str, opened: Callable[[], Any], base_url: str) -> Verdict:
    """Open the storage and continue session s1 with a real agent, team or workflow; look at the rows."""
    before = rows(database, shape)
    raised = ""
    storage = opened()
    try:
        run(kind, storage, base_url, "s1", "one more")
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what the user would see
        raised = type(error).__name__
    finally:
        if hasattr(storage, "Session"):  # Agno keeps a connection in each thread that asked it something
            storage.Session.remove()
        storage.db_engine.dispose()
    return verdict(before, rows(database, shape), kind, raised)


def verdict(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]], kind: str, raised: str) -> Verdict:
    old, new = before["s1"], after["s1"]
    home = "runs" if kind == "workflow_v2" else "memory"
    stored: Any = new.get(home) or {}
    runs: list[dict[str, Any]] = stored if isinstance(stored, list) else stored.get("runs", [])
    new_runs = [run for run in runs if not run_id(run).startswith("s1-old")]
    # A workflow of the second generation starts its own list; what the first one left stays beside it.
    kept = runs if old.get(home) else (new.get("memory") or {}).get("runs", [])
    old_runs = [run for run in kept if run_id(run).startswith("s1-old")]
    own = {home, "session_data", "updated_at", f"{kind.removesuffix('_v2')}_id", f"{kind.removesuffix('_v2')}_data"}
    own |= {"workflow_name"} if kind == "workflow_v2" else set()
    others = all(new[name] == old[name] for name in old.keys() - own)
    untouched = all(after["s2"][name] == found for name, found in before["s2"].items())
    state = ((new.get("session_data") or {}).get("session_state") or {}).items()
    return Verdict(len(old_runs), len(new_runs), STATE.items() <= state, others and untouched, raised)


def run_id(run: dict[str, Any]) -> str:
    return str(run.get("run_id") or (run.get("response") or {}).get("run_id") or "")
