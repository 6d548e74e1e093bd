"""Tables with sessions in them, whose every stored byte can be compared."""

from __future__ import annotations

import json
from typing import Any

from tests.conftest import Database

JSON = {"runs": [{"content": 'Grüße "☃"\n', "n": 1.5, "big": 2**60}], "none": None}


def agents(database: Database, *ids: str, name: str = "sessions", **columns: Any) -> str:
    """A table of agents with these sessions; returns how it is named."""
    table = database.table(name)
    database.admin().upgrade([f"{table}=agent"])
    for number, session_id in enumerate(ids):
        values: dict[str, Any] = {
            "session_id": session_id,
            "user_id": f"u{number}",
            "memory": json.dumps(JSON),
            "session_data": "{}",
            "extra_data": None,
            "agent_data": "null",
            "created_at": 1700000000 + number,
            "updated_at": None,
            "agent_id": "a1",
        }
        insert(database, table, values | columns)
    return table


def insert(database: Database, table: str, values: dict[str, Any]) -> None:
    mark = "?" if database.dialect.name == "sqlite" else "%s"
    names, marks = ", ".join(values), ", ".join([mark] * len(values))
    database.run(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(values.values()))


def stored(database: Database, table: str) -> list[tuple[Any, ...]]:
    """Every value of a table, as it is stored."""
    if database.dialect.name == "sqlite":
        columns = [f'"{row[1]}"' for row in database.run(f"SELECT * FROM pragma_table_info('{table}')")]
        texts = [f"typeof({c}) || ':' || quote({c})" for c in columns]
    elif database.dialect.name == "mysql":
        columns = [row[0] for row in database.run(f"SHOW COLUMNS FROM {table}")]
        texts = [f"CAST(`{c}` AS CHAR)" for c in columns]
    else:
        query = "SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
        columns = [row[0] for row in database.run(query + " AND NOT attisdropped ORDER BY attnum", (table,))]
        texts = [f"{c}::text" for c in columns]
    return database.run(f"SELECT {', '.join(texts)} FROM {table} ORDER BY session_id")


def read(data: bytes) -> list[dict[str, Any]]:
    """The lines of a file."""
    return [json.loads(line) for line in data.splitlines()]
