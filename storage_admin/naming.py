"""Reading ``[SCHEMA.]NAME[=KIND[,KIND...]]``, the way in which every command names a table."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from storage_admin.errors import BadTableName
from storage_admin.schema import TableName, quoted

if TYPE_CHECKING:
    from storage_admin.catalog import Catalog

PART = r'"(?:[^"]|"")*"|[^".=]+'
REFERENCE = re.compile(rf"(?:(?P<schema>{PART})\.)?(?P<name>{PART})(?:=(?P<kinds>[^=]*))?")


class TableRef(msgspec.Struct, frozen=True):
    """A table as the user names it: perhaps without a schema, perhaps with the kinds that it is to hold."""

    name: str
    schema: str | None = None
    kinds: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{quoted(self.schema)}.{quoted(self.name)}" if self.schema is not None else quoted(self.name)


def parse_table(text: str, catalog: Catalog) -> TableRef:
    """Read one TABLE argument.

    Raises:
        BadTableName: it cannot be read, with the reason.
        UnknownKind: the catalogue has no such kind.
    """
    schema, name, kinds = _parts(text)
    named = [kind.strip() for kind in kinds.split(",")] if kinds is not None else []
    if not all(named):
        raise BadTableName(text=text, problem="a kind is missing after the equals sign or a comma")
    known = tuple(dict.fromkeys(catalog.known_kind(kind) for kind in named))
    return TableRef(name, schema, known)


def written_name(table: TableName) -> str:
    """The name of a table as `parse_name` reads it back, whatever is in it."""
    parts = (part for part in (table.schema, table.name) if part is not None)
    return ".".join('"' + part.replace('"', '""') + '"' if {*part} & {*'".='} else part for part in parts)


def argument(table: TableName | TableRef, *kinds: str) -> str:
    """A table, with kinds or without, as it is typed in a shell: for a command that is proposed."""
    import shlex

    return shlex.quote(f"{table}={','.join(kinds)}" if kinds else str(table))


def parse_name(text: str) -> TableName:
    """Read ``[SCHEMA.]NAME``.

    Raises:
        BadTableName: it cannot be read, with the reason.
    """
    schema, name, kinds = _parts(text)
    if kinds is not None:
        raise BadTableName(text=text, problem="no kind is named here")
    return TableName(schema, name)


def _parts(text: str) -> tuple[str | None, str, str | None]:
    match = REFERENCE.fullmatch(text)
    if match is None:
        problem = "it has more than one dot" if text.count(".") > 1 and '"' not in text else "it cannot be read"
        raise BadTableName(text=text, problem=problem if text else "it is empty")
    schema, name = (_unquoted(text, match[part]) for part in ("schema", "name"))
    return schema, name or "", match["kinds"]


def _unquoted(text: str, part: str | None) -> str | None:
    if part is None:
        return None
    name = part[1:-1].replace('""', '"') if part.startswith('"') else part
    if not name or "\0" in name:
        raise BadTableName(text=text, problem="a name is empty or has a NUL character")
    return name
