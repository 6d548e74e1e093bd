"""Every table shape that a release of phidata or Agno made, from tests/data, and rows to fill it with."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"
BACKENDS = {"postgres": "postgresql", "sqlite": "sqlite", "mysql": "mysql"}

# What a version looks like from its first release on; a shape is the newest of these that its releases know.
RELEASES = {
    "phidata-2.5.0": 1, "phidata-2.5.21": 2, "phidata-2.6.0": 3, "agno-0.0.2": 4, "agno-1.1.11": 5,
    "agno-1.1.14": 6, "agno-1.2.0": 7, "agno-1.7.4": 8, "agno-1.7.6": 9, "agno-1.7.7": 10,
}  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """A table as releases left it. ``kinds`` and ``versions`` are what inspect has to say of it."""

    id: str
    dialect: str
    kinds: tuple[str, ...]
    name: str
    ddl: str
    columns: tuple[tuple[str, str], ...]
    first_release: str
    last_release: str

    @property
    def versions(self) -> range:
        """The versions that its releases belong to."""
        known = [RELEASES[release] for release in RELEASES if not _newer(release, self.first_release)]
        last = [RELEASES[release] for release in RELEASES if not _newer(release, self.last_release)]
        return range(known[-1], last[-1] + 1)


def _newer(one: str, other: str) -> bool:
    return _key(one) > _key(other)


def _key(release: str) -> tuple[bool, tuple[int, ...]]:
    package, _, number = release.partition("-")
    return package == "agno", tuple(int(part) for part in number.split("."))


@cache
def released_shapes(*, assistants: bool = False) -> tuple[Shape, ...]:
    """The shapes of session-tables.json on PostgreSQL, SQLite and MySQL."""
    entries = json.loads((DATA / "session-tables.json").read_text())
    return tuple(
        _released(entry)
        for entry in entries
        if entry["backend"] in BACKENDS and (entry["kind"] == "assistant") == assistants
    )


def _released(entry: dict[str, Any]) -> Shape:
    created = re.search(r"CREATE TABLE (?:ai\.)?(\w+)", entry["ddl"])
    assert created
    # A storage object whose mode was changed makes a table for both kinds.
    kinds = re.fullmatch(r"direct|switched:(\w+)->\w+", entry["variant"])
    assert kinds
    return Shape(
        entry["id"],
        BACKENDS[entry["backend"]],
        (*([kinds[1]] if kinds[1] else []), entry["kind"]),
        created[1],
        entry["ddl"],
        tuple((column["name"], column["type_sql"].lower()) for column in entry["columns"]),
        entry["first_release"],
        entry["last_release"],
    )


@cache
def evolved_shapes() -> tuple[Shape, ...]:
    """The shapes of evolved-tables.json: what Agno's own upgrade_schema() left behind."""
    entries = json.loads((DATA / "evolved-tables.json").read_text())
    return tuple(_evolved(entry) for entry in entries)


def _evolved(entry: dict[str, Any]) -> Shape:
    columns = tuple((name, kind.lower()) for name, _, kind in (column.partition(" ") for column in entry["columns"]))
    postgres = entry["backend"] == "postgres"
    lines = []
    for name, kind in columns:
        key = " NOT NULL PRIMARY KEY" if name == "session_id" else ""
        default = " DEFAULT (extract(epoch from now()))::bigint" if postgres and name == "created_at" else ""
        lines.append(f"{name} {kind}{key}{default}")
    table = "ai.sess" if postgres else "sess"
    indexes = [index for index in entry["indexes"] if "CREATE UNIQUE INDEX" not in index]
    ddl = ";\n".join([f"CREATE TABLE {table} ({', '.join(lines)})", *indexes]) + ";"
    switched = re.fullmatch(r"switched:(\w+)->\w+", entry["variant"])
    return Shape(
        f"{entry['start']}+{'+'.join(entry['upgraded_by'])}",
        BACKENDS[entry["backend"]],
        (*([switched[1]] if switched else []), entry["kind"]),
        "sess",
        ddl,
        columns,
        *entry["start_range"],
    )


# What a table may be called, and quoting has to stand.
ODD_NAMES = [
    "My Table",
    "select",
    'a"b',
    "x; DROP TABLE victim; --",
    "%s",
    "100%",
    "tab:le",
    "a.b",
    "o'hare",
    "日本",
    "CamelCase",
    "a\tb",
    "a, \nb",
]

JSON_TEXT = '{"runs": [{"a": 1.50, "ü": "\\u00e9"}], "n": null}'
SECONDS = 1700000000


def row(shape: Shape, number: int) -> dict[str, Any]:
    """One row that fills every column of a shape."""
    filled: dict[str, Any] = {}
    for name, kind in shape.columns:
        if kind in ("json", "jsonb"):
            filled[name] = JSON_TEXT
        elif kind in ("bigint", "integer"):
            filled[name] = SECONDS + number
        else:
            filled[name] = f"{name} {number} 'quoted' ☃"
    return filled
