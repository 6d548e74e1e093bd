"""One upsert and one read of a session: ours, Agno 1.8.4's, and the raw driver with the same statement and JSON."""

from __future__ import annotations

import gc
import sqlite3
import statistics
import time
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import psycopg
from agno.storage.postgres import PostgresStorage as AgnoPostgres
from agno.storage.session.agent import AgentSession
from agno.storage.sqlite import SqliteStorage as AgnoSqlite
from psycopg.types.json import Jsonb, set_json_loads
from sqlalchemy import ClauseElement, Dialect, make_url

from storage_admin import PostgresStorage, SqliteStorage
from storage_admin.catalog import load_catalog
from storage_admin.storage.statements import NOW, Statements

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MODULES = ("storage_admin", "agno.storage.postgres")
FIRST_SESSION = """
from {module} import PostgresStorage
from agno.storage.session.agent import AgentSession
storage = PostgresStorage("sessions", db_url="{url}", mode="agent", auto_upgrade_schema=True)
assert storage.upsert(AgentSession(session_id="s1", user_id="ada", memory={{"runs": []}})) is not None
"""

AGNO = "Agno 1.8.4"
SAME_WORK = "the raw driver, same work"
AS_IT_COMES = "the raw driver, as it comes"

SIZES = {"10 KB": 10_000, "100 KB": 100_000, "1 MB": 1_000_000}
ROUNDS = {"10 KB": 400, "100 KB": 150, "1 MB": 40}
AGNO_LIMITS = {"upsert": 0.45, "read": 0.65}
RAW_LIMITS = {"10 KB": 2.0, "100 KB": 1.4, "1 MB": 1.3}
TEXTS = ("session_id", "user_id", "agent_id", "team_session_id")
JSONS = ("memory", "session_data", "extra_data", "agent_data")


class Contestant(NamedTuple):
    """Somebody who can write a session and read it."""

    upsert: Callable[[AgentSession], object]
    read: Callable[[str], object]


class Duel(NamedTuple):
    """Medians in seconds, and the median of the ratios, round by round."""

    what: str
    peer: str
    mine: float
    theirs: float
    ratio: float
    limit: float | None


def talk(size: int) -> AgentSession:
    """A session of an agent of about so many bytes of JSON: runs with messages and metrics, as Agno stores them."""
    runs: list[dict[str, Any]] = []
    plain = "The answer goes on for a while, as answers do, and has a line\nbreak. " * 6
    fancy = "Die Antwort geht noch ein Stück weiter — mit “Zitaten” und einem ☃. " * 6
    while len(msgspec.json.encode(runs)) < size:
        number = len(runs)
        said = [("user", f"Question {number}?"), ("assistant", f"{number}: {fancy if number % 3 == 0 else plain}")]
        messages = [{"role": role, "content": text, "created_at": 1700000000 + number} for role, text in said]
        metrics = {"input_tokens": [12 + number], "time": [0.123456 + number], "audio_tokens": None}
        runs.append({"run_id": f"run-{number}", "status": "COMPLETED", "messages": messages, "metrics": metrics})
    return AgentSession(
        session_id="s1",
        user_id="ada",
        agent_id="a1",
        memory={"runs": runs, "summaries": {}},
        session_data={"session_state": {"n": 1}},
        agent_data={"name": "cook", "model": {"id": "gpt"}},
    )


def on_postgres(url: str, dsn: str) -> dict[str, Contestant]:
    """Ours, Agno's and raw psycopg twice, each with a connection of its own on a table of its own."""
    ours = PostgresStorage("ours", db_url=url, mode="agent", auto_upgrade_schema=True)
    agno = AgnoPostgres("theirs", db_url=url, mode="agent")
    agno.create()
    return {
        "ours": Contestant(ours.upsert, ours.read),
        AGNO: Contestant(agno.upsert, agno.read),
        # As ours it returns a copy of what is stored, and sends no prepared statements, to stand behind poolers.
        SAME_WORK: raw_psycopg(url, dsn, "raw", returns_copy=True, prepare_threshold=None),
        AS_IT_COMES: raw_psycopg(url, dsn, "bare", returns_copy=False, prepare_threshold=5),
    }


def raw_psycopg(url: str, dsn: str, table: str, *, returns_copy: bool, prepare_threshold: int | None) -> Contestant:
    """Psycopg itself, on a table of its own."""
    PostgresStorage(table, db_url=url, mode="agent").create()
    connection = psycopg.connect(dsn, autocommit=True, prepare_threshold=prepare_threshold)
    set_json_loads(msgspec.json.decode, connection)
    as_json = partial(Jsonb, dumps=as_it_is)
    return raw_driver(connection.execute, "postgresql+psycopg", ("ai", table), as_json, returns_copy=returns_copy)


def on_sqlite(folder: Path) -> dict[str, Contestant]:
    """Ours, Agno's and raw sqlite3, each on a file of its own."""
    ours = SqliteStorage("ours", db_file=folder / "ours.db", mode="agent", auto_upgrade_schema=True)
    agno = AgnoSqlite("theirs", db_file=str(folder / "theirs.db"), mode="agent")
    agno.create()
    SqliteStorage("raw", db_file=folder / "raw.db", mode="agent").create()
    connection = sqlite3.connect(folder / "raw.db", isolation_level=None)
    return {
        "ours": Contestant(ours.upsert, ours.read),
        AGNO: Contestant(agno.upsert, agno.read),
        SAME_WORK: raw_driver(connection.execute, "sqlite", (None, "raw"), bytes.decode, returns_copy=True),
    }


def as_it_is(data: bytes) -> bytes:
    """A JSON text that psycopg sends as it is."""
    return data


def raw_driver(
    execute: Callable[..., Any],
    driver: str,
    table: tuple[str | None, str],
    as_json: Callable[[bytes], object],
    *,
    returns_copy: bool,
) -> Contestant:
    """The same statements, as a text, on the driver itself."""
    catalog = load_catalog()
    made: Callable[..., Dialect] = make_url(f"{driver}://").get_dialect()
    dialect = made(paramstyle="named" if driver == "sqlite" else "pyformat")
    target = catalog.target_for(("agent",), catalog.head, dialect.name)
    statements = Statements(dialect.name, target, "agent", *table, keep_owner=True)
    both: tuple[ClauseElement, ...] = (statements.upsert, statements.read)
    upsert, read = (str(statement.compile(dialect=dialect)) for statement in both)

    def write(session: AgentSession) -> object:
        values = {key: getattr(session, key) for key in TEXTS}
        encoded = {key: msgspec.json.encode(getattr(session, key)) for key in JSONS}
        now = int(time.time())
        sent = {key: as_json(data) for key, data in encoded.items()}
        [row] = execute(upsert, {**values, **sent, NOW: now, "created_at": now}).fetchall()
        return row, {key: msgspec.json.decode(data) for key, data in encoded.items()} if returns_copy else None

    def fetch(session_id: str) -> object:
        cursor = execute(read, {"session_id": session_id})
        row = dict(zip([column[0] for column in cursor.description], cursor.fetchone(), strict=True))
        return row if driver != "sqlite" else row | {key: msgspec.json.decode(row[key]) for key in JSONS}

    return Contestant(write, fetch)


def duels(database: str, contestants: dict[str, Contestant]) -> list[Duel]:
    """Every size, upsert and read, against each peer, in turn."""
    found: list[Duel] = []
    for size, count in SIZES.items():
        session = talk(count)
        for act in ("upsert", "read"):
            mine, *others = timed([_call(who, act, session) for who in contestants.values()], ROUNDS[size])
            raw_limit = RAW_LIMITS[size] if database == "PostgreSQL" else None
            for peer, theirs in zip(list(contestants)[1:], others, strict=True):
                ratio = statistics.median(a / b for a, b in zip(mine, theirs, strict=True))
                medians = statistics.median(mine), statistics.median(theirs)
                limit = AGNO_LIMITS[act] if peer == AGNO else raw_limit
                found.append(Duel(f"{act} {size}, {database}", peer, *medians, ratio, limit))
    return found


def _call(who: Contestant, act: str, session: AgentSession) -> Callable[[], object]:
    return (lambda: who.upsert(session)) if act == "upsert" else (lambda: who.read(session.session_id))


def timed(calls: list[Callable[[], object]], rounds: int) -> list[list[float]]:
    """The seconds of each call, in turn, so that all meet the same moods of the machine."""
    for call in calls * 5:
        call()
    gc.collect()
    seconds: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, taken in zip(calls, seconds, strict=True):
            started = time.perf_counter()
            call()
            taken.append(time.perf_counter() - started)
    return seconds
