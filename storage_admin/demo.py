"""A SQLite file as four old releases left it: their tables, with conversations in them."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import column, insert, select, table

from storage_admin.admin import StorageAdmin
from storage_admin.database import connected, make_engine, parse_url

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class OldTable(msgspec.Struct, frozen=True):
    """A table, the releases that made it like this, and the conversations in it: (session, user, question, answer)."""

    name: str
    releases: str
    kinds: tuple[str, ...]
    version: int
    talks: tuple[tuple[str, str, str, str], ...]


OLD_TABLES = (
    OldTable(
        "agent_sessions",
        "phidata 2.5.0 to 2.7.10",
        ("agent",),
        1,
        (
            ("trip", "ada", "My name is Ada. Where shall I go in May?", "Lisbon: mild, and the jacarandas bloom."),
            ("soup", "ben", "How long do lentils cook?", "Red ones 15 minutes, green ones 30."),
        ),
    ),
    OldTable(
        "blog_workflow",
        "phidata 2.5.21 to 2.5.34",
        ("workflow",),
        2,
        (("post-1", "ada", "Write about night trains.", "# Asleep in Vienna, awake in Venice"),),
    ),
    OldTable(
        "support_agent",
        "agno 0.0.2 to 1.1.10",
        ("agent",),
        4,
        (
            ("ticket-17", "eve", "The export hangs at 99 %.", "Please send me the last lines of the log."),
            ("ticket-18", "joe", "Thanks, it works again!", "Good to hear. I close the ticket."),
        ),
    ),
    OldTable(
        "research_team",
        "agno 1.1.14 to 1.1.17",
        ("agent", "team"),
        6,
        (("kelp", "ada", "What eats kelp?", "Sea urchins, mostly; otters eat those."),),
    ),
)


def build(path: Path) -> str:
    """Make the file; return its URL. The file must not exist."""
    url = f"sqlite:///{path}"
    admin = StorageAdmin(url, create=True)
    for old in OLD_TABLES:
        admin.upgrade([f"{old.name}={','.join(old.kinds)}"], to=old.version)
    engine = make_engine(parse_url(url), writable=True)
    with connected(engine) as connection:
        connection.exec_driver_sql("DROP TABLE storage_admin_revisions")  # those releases kept no log
        for old in OLD_TABLES:
            for number, talk in enumerate(old.talks):
                values = _row(old, number, talk)
                connection.execute(insert(table(old.name, *map(column, values))).values(values))
    return url


def _row(old: OldTable, number: int, talk: tuple[str, str, str, str]) -> dict[str, Any]:
    session, user, question, answer = talk
    kind = old.kinds[-1]
    at = 1_730_000_000 + 86_400 * number
    asked = {"role": "user", "content": question, "created_at": at}
    answered = {"role": "assistant", "content": answer, "created_at": at}
    run = {"content": answer, "messages": [asked, answered], "run_id": f"{session}-1", "session_id": session}
    # As agents and teams kept it before Agno 1.4.
    memory = {
        "runs": [{"message": asked, "response": run}],
        "messages": [asked, answered],
        "update_system_message_on_change": False,
        "create_user_memories": False,
        "update_user_memories_after_run": True,
    }
    return {
        "session_id": session,
        "user_id": user,
        f"{kind}_id": old.name,
        f"{kind}_data": json.dumps({"name": old.name}),
        "memory": json.dumps(memory, ensure_ascii=False),
        "session_data": json.dumps({"session_state": {"made_by": old.releases}}),
        "created_at": at,
    }


class Look(msgspec.Struct, frozen=True):
    """What a table holds: its columns, its sessions, a digest of some columns, and the last answer stored."""

    columns: tuple[str, ...]
    sessions: int
    digest: str
    last_answer: str


def look(url: str, name: str, columns: tuple[str, ...] = ()) -> Look:
    """Read a table; the digest is over the named columns (all without them), row by row."""
    engine = make_engine(parse_url(url))
    with connected(engine) as connection:
        found = tuple(row[1] for row in connection.exec_driver_sql("SELECT * FROM pragma_table_info(?)", (name,)))
        chosen = columns or found
        rows: Sequence[Any] = connection.execute(
            select(*map(column, chosen)).select_from(table(name)).order_by(column("session_id"))
        ).all()
    digest = sha256(repr([tuple(row) for row in rows]).encode()).hexdigest()
    last = json.loads(rows[-1][chosen.index("memory")])["messages"][-1]["content"]
    return Look(found, len(rows), digest, last)
