"""Pages to look at, and what a parser makes of one."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec

from storage_admin.dialects import DIALECTS
from storage_admin.overview import Overview
from storage_admin.schema import TableName
from tests.conftest import Database
from tests.sessions.tables import insert

DAY = 86_400
VOID = {"meta", "link", "input", "wbr"}


def filled(database: Database, name: str, version: int, ages: list[int], now: int, kind: str = "agent") -> str:
    """A table of a version, with a session for each age in days, all of one user, and a word that nobody may see."""
    table = database.table(name)
    database.admin().upgrade([f"{table}={kind}"], to=version)
    for number, days in enumerate(ages):
        at = now - days * DAY - 60
        values: dict[str, Any] = {"session_id": f"canary-id-{number}", "user_id": "canary-user", "created_at": at}
        insert(
            database, table, values | {"memory": json.dumps({"runs": [{"content": "canary-word"}]}), "updated_at": at}
        )
    return table


def file_of(folder: Path) -> Database:
    """A SQLite database that several tests look at."""
    path = folder / "sessions.db"
    path.touch()
    return Database(DIALECTS["sqlite"], f"sqlite:///{path}", str(path))


def many(overview: Overview, number: int) -> Overview:
    """The same with so many tables, made from those that are there."""
    views = [overview.tables[place % len(overview.tables)] for place in range(number)]

    def named(place: int) -> Any:
        plan = views[place].plan
        name = f"tenant_{place:04}_{plan.table.name}"
        statements = tuple(text.replace(plan.table.name, name) for text in views[place].statements)
        plan = msgspec.structs.replace(plan, table=TableName(plan.table.schema, name))
        return msgspec.structs.replace(views[place], plan=plan, statements=statements)

    return msgspec.structs.replace(overview, tables=tuple(map(named, range(number))))


class Parsed(HTMLParser):
    """The elements of a page, and its texts by the element that they are in. It fails where one is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    def values(self, attribute: str) -> list[str]:
        return [attributes[attribute] for _, attributes in self.elements if attribute in attributes]

    def text(self, tag: str) -> str:
        return "".join(text for within, text in self.texts if within == tag)
