"""What we are measured against: Alembic on the same tables, a click program that does nothing."""

from __future__ import annotations

from textwrap import dedent
from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from pathlib import Path

BATCH = 200

TABLE = """
CREATE TABLE ai.{name} (session_id VARCHAR NOT NULL PRIMARY KEY, user_id VARCHAR, memory JSONB, session_data JSONB,
  extra_data JSONB, created_at BIGINT DEFAULT (extract(epoch from now()))::bigint, updated_at BIGINT,
  agent_id VARCHAR, team_session_id VARCHAR, agent_data JSONB);
CREATE INDEX ix_ai_{name}_agent_id ON ai.{name} (agent_id);
CREATE INDEX ix_ai_{name}_team_session_id ON ai.{name} (team_session_id);
CREATE INDEX ix_ai_{name}_user_id ON ai.{name} (user_id);
"""

ENV = """
from alembic import context
from sqlalchemy import BigInteger, Column, MetaData, String, Table, create_engine, text
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(schema="ai")
for number in range({tables}):
    Table(
        f"sessions_{{number}}", metadata,
        Column("session_id", String, primary_key=True), Column("user_id", String, index=True), Column("memory", JSONB),
        Column("session_data", JSONB), Column("extra_data", JSONB),
        Column("created_at", BigInteger, server_default=text("(extract(epoch from now()))::bigint")),
        Column("updated_at", BigInteger), Column("agent_id", String, index=True),
        Column("team_session_id", String, index=True), Column("agent_data", JSONB),
    )
with create_engine("{url}").connect() as connection:
    context.configure(
        connection=connection, target_metadata=metadata, include_schemas=True,
        include_name=lambda name, kind, _: kind != "schema" or name == "ai",
    )
    with context.begin_transaction():
        context.run_migrations()
"""

CLICK = """
import click

@click.group()
def cli():
    "A program."

for name in ("upgrade", "plan", "inspect", "check", "history", "versions", "demo"):
    cli.add_command(click.Command(name, help="A command."))

cli()
"""


def create_tables(dsn: str, tables: int) -> None:
    """Create N current agent tables, and let the planner know them."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA ai")
        for start in range(0, tables, BATCH):
            names = (f"sessions_{number}" for number in range(start, min(tables, start + BATCH)))
            connection.execute("".join(TABLE.format(name=name) for name in names))
        connection.execute("VACUUM ANALYZE")


def alembic_project(folder: Path, url: str, tables: int) -> Path:
    """An Alembic environment whose metadata is those tables; return its ini file."""
    (folder / "versions").mkdir(parents=True)
    (folder / "env.py").write_text(ENV.format(tables=tables, url=url))
    ini = folder / "alembic.ini"
    ini.write_text(
        dedent(f"""
        [alembic]
        script_location = {folder}
        path_separator = os
    """)
    )
    return ini


def bare_click(folder: Path) -> Path:
    """A click program with as many commands, and nothing behind them."""
    program = folder / "bare.py"
    program.write_text(CLICK)
    return program
