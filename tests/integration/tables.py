"""Tables to start from, and what the database says of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from storage_admin.history import REVISIONS
from tests.conftest import Database


def old_agents(database: Database, name: str = "sessions", version: int = 4) -> str:
    """An agent table as a version made it, without a log; returns how it is named."""
    database.admin().upgrade([f"{database.table(name)}=agent"], to=version)
    database.run(f"DROP TABLE {database.table(REVISIONS)}")
    return database.table(name)


def drop_index(database: Database, name: str, table: str) -> str:
    """Drop an index that a release named ``ix_ai_...``, or ``ix_...`` where there are no schemas; return that name."""
    index = f"ix_ai_{name}" if database.dialect.has_schemas else f"ix_{name}"
    if database.dialect.name == "mysql":
        database.run(f"DROP INDEX {index} ON {table}")
    else:
        database.run(f"DROP INDEX {'ai.' if database.dialect.has_schemas else ''}{index}")
    return index


def definition(database: Database) -> list[tuple[Any, ...]]:
    if database.dialect.name == "mysql":
        return database.run(
            "SELECT table_schema, table_name, column_name, column_type FROM information_schema.columns "
            "WHERE table_schema NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys') ORDER BY 1, 2, 3"
        )
    if database.dialect.has_schemas:
        return database.run(
            "SELECT attrelid::regclass::text, attname, atttypid FROM pg_attribute JOIN pg_class c ON c.oid = attrelid "
            "JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname IN ('ai', 'public') ORDER BY 1, 2"
        )
    return database.run("SELECT name, sql FROM sqlite_master ORDER BY 1")


def logged_statements(server: Any, database: str) -> list[str]:
    """What a database with log_statement = 'all' was sent, in order, from the log of the server."""
    found = []
    entries = re.split(r"^(?=\w+\|)", Path(server.logfile).read_text(), flags=re.MULTILINE)
    for entry in entries:
        sent = re.match(rf"{database}\|\w+:  (?:statement|execute <unnamed>): (.*)", entry, flags=re.DOTALL)
        found.extend([sent[1].strip()] if sent else [])
    return found
