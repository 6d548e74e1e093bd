"""`upgrade` beside psql that runs the same statements, one transaction per table, over many tables in many schemas."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from benchmarks import measure

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.server import Server

SCHEMAS = 20
BATCH = 500
# A table of agents as agno 0.0.2 to 1.1.10 made it.
OLD = """
CREATE TABLE {table} (session_id VARCHAR PRIMARY KEY, user_id VARCHAR, memory JSONB, session_data JSONB,
  extra_data JSONB, created_at BIGINT DEFAULT (extract(epoch from now()))::bigint, updated_at BIGINT,
  agent_id VARCHAR, agent_data JSONB);
CREATE INDEX {user} ON {table} (user_id); CREATE INDEX {agent} ON {table} (agent_id);
"""


def outdated_tables(server: Server, name: str, tables: int) -> str:
    """A database of so many outdated tables, spread over twenty schemas; return its URL."""
    url = server.database(name)
    with psycopg.connect(server.dsn(name), autocommit=True) as connection:
        for number in range(SCHEMAS):
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(f"tenant_{number}")))
        for first in range(0, tables, BATCH):
            texts = [_old(number) for number in range(first, min(first + BATCH, tables))]
            connection.execute(sql.SQL(" ").join(texts))
    return url


def _old(number: int) -> sql.Composed:
    schema, name = f"tenant_{number % SCHEMAS}", f"sessions_{number}"
    return sql.SQL(OLD).format(
        table=sql.Identifier(schema, name),
        user=sql.Identifier(f"ix_{schema}_{name}_user_id"),
        agent=sql.Identifier(f"ix_{schema}_{name}_agent_id"),
    )


@dataclass(frozen=True)
class Race:
    """Seconds and peak memory (MB) of our upgrade, seconds of psql on a copy."""

    ours: measure.Run
    psql: measure.Run


def many_tables(server: Server, folder: Path, tables: int, jobs: int) -> Race:
    """Upgrade so many tables, and let psql do the same on a copy of the database."""
    name = f"many_{tables}_{jobs}"
    url = outdated_tables(server, name, tables)
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(f"{name}_psql"), sql.Identifier(name))
        )
    script = folder / f"{name}.sql"
    with script.open("w") as file:
        subprocess.run(
            [measure.beside_python("storage-admin"), "plan", "--sql", "--db-url", url], stdout=file, check=True
        )
    psql = measure.run([*server.psql(f"{name}_psql"), "-q", "-v", "ON_ERROR_STOP=1", "-f", str(script)])
    ours = measure.run(["storage-admin", "upgrade", "--jobs", str(jobs), "-o", "json", "--db-url", url])
    return Race(ours, psql)
