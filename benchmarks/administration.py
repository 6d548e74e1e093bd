"""`sessions list` and `sessions show` on a large table, in milliseconds of database time."""

from __future__ import annotations

import statistics
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import sqlalchemy as sa
from sqlalchemy import event

from storage_admin import StorageAdmin
from storage_admin.sessions import Filter, Sessions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.server import Server

TABLE = "ai.agent_sessions"
# 2 KB a row, of which a model wrote most: what is random does not compress.
FILL = """
INSERT INTO ai.agent_sessions (session_id, user_id, agent_id, memory, session_data, created_at, updated_at)
SELECT md5(n::text), 'user-' || n % 20000, 'agent-' || n % 50,
       jsonb_build_object('runs', jsonb_build_array(jsonb_build_object('run_id', n, 'messages', jsonb_build_array(
           jsonb_build_object('role', 'user', 'content', (SELECT string_agg(md5((n * 31 + i)::text), '')
                                                            FROM generate_series(1, 56) i)))))),
       jsonb_build_object('session_name', 'session ' || n), 1700000000 + n, 1700000100 + n
  FROM generate_series({first}, {last}) n
"""
BATCH = 100_000


def large_table(server: Server, name: str, rows: int) -> str:
    """A database with one current table of agents of so many rows of 2 KB; return its URL."""
    url = server.database(name)
    with psycopg.connect(server.dsn(name), autocommit=True) as connection:
        connection.execute("CREATE SCHEMA ai")
        StorageAdmin(url).upgrade([f"{TABLE}=agent"])
        for first in range(1, rows + 1, BATCH):
            statement = FILL.format(first=first, last=min(first + BATCH - 1, rows))  # numbers
            connection.execute(statement)
        connection.execute("VACUUM ANALYZE ai.agent_sessions")
    return url


def database_times(url: str, runs: int = 9) -> list[tuple[str, float]]:
    """What is asked, and the median of the milliseconds that the database took."""
    engine = sa.create_engine(url)
    sessions = Sessions(engine)
    middle = sessions.page(Filter(), sort="id", limit=50).next
    asked: list[tuple[str, Callable[[], Any]]] = [
        ("list --user", lambda: sessions.page(Filter(user="user-77"))),
        ("list --user --after", lambda: sessions.page(Filter(user="user-77", after=1_700_500_000))),
        ("list --entity --limit 50", lambda: sessions.page(Filter(entity="agent-7"))),
        ("list --entity --sort id", lambda: sessions.page(Filter(entity="agent-7"), sort="id")),
        ("list", sessions.page),
        ("list --kind agent", lambda: sessions.page(Filter(kind="agent"))),
        ("list --sort id --from ...", lambda: sessions.page(sort="id", after=middle)),
        ("show", lambda: sessions.show("c4ca4238a0b923820dcc509a6f75849b")),
        ("list --sort updated", lambda: sessions.page(sort="updated")),
        ("list --contains", lambda: sessions.page(Filter(contains="d41d8cd98f00b204"))),
    ]
    found = []
    for what, call in asked:
        times = []
        for _ in range(runs if "contains" not in what and "updated" not in what else 1):
            with _timed(engine) as spent:
                call()
            times.append(spent[0] * 1000)
        found.append((what, statistics.median(times)))
    engine.dispose()
    return found


@contextmanager
def _timed(engine: sa.Engine) -> Iterator[list[float]]:
    spent, began = [0.0], [0.0]

    def before(*_: object) -> None:
        began[0] = time.perf_counter()

    def after(*_: object) -> None:
        spent[0] += time.perf_counter() - began[0]

    event.listen(engine, "before_cursor_execute", before)
    event.listen(engine, "after_cursor_execute", after)
    try:
        yield spent
    finally:
        event.remove(engine, "before_cursor_execute", before)
        event.remove(engine, "after_cursor_execute", after)
