"""The lock file: the session tables of a database as they were, for a release that comes later and has no database.

It holds names, kinds, versions and shapes; no row, no default's text, no URL. Tables that are alike share one block, so
that a diff shows what became of a table, and a thousand tenants are a thousand lines.
"""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from storage_admin.atomic import write_whole
from storage_admin.changes import Plan, Status
from storage_admin.compare import compare, identify, with_named
from storage_admin.dialects import dialect_named
from storage_admin.errors import BadTableName, LockFileError, NoSuchTable, UnknownKind, UnsupportedDatabase
from storage_admin.naming import argument, parse_name, written_name
from storage_admin.reports import DatabaseInfo, Survey
from storage_admin.schema import LiveColumn, LiveIndex, LiveTable, Relation, Shape, TableName
from storage_admin.toml import TOMLDecodeError, loads

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    from sqlalchemy import Connection

    from storage_admin.catalog import Catalog
    from storage_admin.dialects import Dialect
    from storage_admin.naming import TableRef

FIRST, AGAIN = "`storage-admin lock` writes it.", "`storage-admin lock` writes it anew."
FORMAT = 1
SIGN = "# The session tables of a database, as `storage-admin lock` found them."
HEADER = f"""{SIGN} No rows, no passwords.
# `storage-admin check --against offline` compares them with the versions that the installed storage-admin knows.
"""
BLOCK = "[[tables]]"
BRACES = re.compile(r"\{\{|\}\}|\{\w*\}|[{}]")


# --- the values --------------------------------------------------------------------------------------------


class LockedTable(msgspec.Struct, frozen=True):
    """A table as it was. ``recorded`` is what the log says where that is more than ``version``. ``large``: its indexes
    are built outside a transaction. ``line`` is its line in the file.
    """

    live: LiveTable
    kinds: tuple[str, ...]
    version: int | None
    recorded: int | None = None
    large: bool = False
    line: int = 0


class LockFile(msgspec.Struct, frozen=True):
    """The tables of one database. ``dialect`` is one that `dialect_named` knows; ``head`` is the catalogue's then."""

    dialect: str
    head: int
    tables: tuple[LockedTable, ...]


# --- the format of the file --------------------------------------------------------------------------------


class ColumnEntry(msgspec.Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """One column. ``default``: it has one; what it is may be anybody's business."""

    name: str
    type: str
    null: bool = True
    default: bool = False
    generated: bool = False


class IndexEntry(msgspec.Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """One index. ``{prefix}`` in its name stands for schema and table, ``{table}`` for the table."""

    name: str
    columns: tuple[str, ...]
    unique: bool = False
    valid: bool = True
    plain: bool = True


class Block(msgspec.Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """Tables that are alike in everything but their names."""

    names: tuple[str, ...]
    kinds: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    columns: tuple[ColumnEntry, ...]
    version: int | None = None
    recorded: int | None = None
    relation: Relation = Relation.TABLE
    large: bool = False
    primary_key: tuple[str, ...] = ()
    indexes: tuple[IndexEntry, ...] = ()


class File(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The whole file."""

    format: int
    dialect: str
    head: Annotated[int, msgspec.Meta(ge=0)]
    tables: tuple[Block, ...] = ()


# --- from a database ---------------------------------------------------------------------------------------


def lock_tables(connection: Connection, dialect: Dialect, plans: Sequence[Plan], head: int) -> LockFile:
    """Lock the tables of some plans.

    Raises:
        NoSuchTable: a table is not there.
    """
    from storage_admin.access import table_facts
    from storage_admin.messages import displayed_url

    info = connection.dialect.server_version_info or ()
    record = dialect.of_version(info)
    facts = table_facts(connection, record, {plan.table.name for plan in plans})
    tables = []
    for plan in plans:
        if plan.live is None:
            where, typed = displayed_url(connection.engine.url), argument(plan.table, *plan.kinds)
            raise NoSuchTable(database=where, table=plan.table, argument=typed, suggestion="")
        known = facts.get(plan.table)
        large = known is not None and record.small_bytes is not None and known.bytes > record.small_bytes
        ahead = plan.recorded if (plan.recorded or 0) > (plan.version or 0) else None
        tables.append(LockedTable(plan.live, plan.kinds, plan.version, ahead, large))
    name = dialect.name if record is dialect else f"{dialect.name}-{'.'.join(str(part) for part in info[:2])}"
    return LockFile(name, head, tuple(tables))


# --- compared ----------------------------------------------------------------------------------------------


def survey_lock(
    lock: LockFile, catalog: Catalog, file: str, refs: Iterable[TableRef] | None = None, schema: str | None = None
) -> Survey:
    """Compare what was locked with a catalogue: the named tables, or all, perhaps of one schema. ``file`` is its name.

    A table that a newer catalogue than this one has seen is ahead, as it would be in the database.

    Raises:
        LockFileError: a named table is not in the file, or there is none to compare, or somebody wrote a kind into the
            file that there is not.
    """
    product, _, version = lock.dialect.partition("-")
    dialect = dialect_named(lock.dialect)
    taken = {TableName(t.live.name.schema, n) for t in lock.tables for n in (t.live.name.name, *t.live.index_names)}
    plans = []
    for table, named in _chosen(lock, dialect, file, refs, schema):
        newest = max(table.version or 0, table.recorded or 0)
        if lock.head > catalog.head and not {*table.kinds} <= {*catalog.kinds}:
            newest = max(newest, lock.head)
        ahead = newest > catalog.head
        if ahead:
            plans.append(_ahead(table, newest, catalog))
        else:
            _refuse_unknown_kinds(table, catalog, file)
            plans.append(_plan(table, named, catalog, dialect, taken))
    if not plans:
        where = f" of the schema {schema}" if schema is not None else ""
        raise LockFileError(file=file, problem=f"it holds no table{where}", advice=AGAIN)
    return Survey(DatabaseInfo(product, version, file), catalog.head, tuple(plans), tuple(_notes(lock, catalog, file)))


def differences(old: LockFile, new: LockFile) -> dict[str, list[TableName]]:
    """Which tables were "changed", are "new" or "gone" from one lock file to the other; without a word for none."""
    before, after = (
        {table.live.name: msgspec.structs.replace(table, line=0) for table in lock.tables} for lock in (old, new)
    )
    found = {
        "changed": [name for name in after if name in before and _block(before[name]) != _block(after[name])],
        "new": [name for name in after if name not in before],
        "gone": [name for name in before if name not in after],
    }
    return {word: sorted(names, key=str) for word, names in found.items() if names}


def _chosen(
    lock: LockFile, dialect: Dialect, file: str, refs: Iterable[TableRef] | None, schema: str | None
) -> Iterator[tuple[LockedTable, tuple[str, ...]]]:
    if refs is None:
        yield from ((table, ()) for table in lock.tables if schema in (None, table.live.name.schema))
        return
    for ref in refs:
        name, wanted = dialect.fold(ref.name), ref.schema or schema
        found = [t for t in lock.tables if dialect.fold(t.live.name.name) == name]
        found = [t for t in found if wanted in (None, t.live.name.schema)]
        if not found:
            raise LockFileError(file=file, problem=f"it holds no table {ref}", advice=AGAIN)
        yield from ((table, ref.kinds) for table in found)


def _ahead(table: LockedTable, recorded: int, catalog: Catalog) -> Plan:
    live = table.live
    return Plan(live.name, table.kinds, Status.AHEAD, None, catalog.head, recorded=recorded, live=live)


def _plan(
    table: LockedTable, named: tuple[str, ...], catalog: Catalog, dialect: Dialect, taken: Collection[TableName]
) -> Plan:
    identity = identify(table.live.shape, catalog, dialect)
    kinds = with_named(identity, (*table.kinds, *named), catalog)
    plan = compare(table.live, kinds, catalog, dialect, recorded=table.recorded, taken=taken)
    if not (plan.builds and table.large):
        return plan
    partitioned = table.live.relation is Relation.PARTITIONED_TABLE
    return plan.without_builds() if partitioned else plan.building_concurrently()


def _refuse_unknown_kinds(table: LockedTable, catalog: Catalog, file: str) -> None:
    try:
        for kind in table.kinds:
            catalog.known_kind(kind)
    except UnknownKind as error:
        problem, _, advice = str(error).partition(". ")
        told = f"line {table.line}: {table.live.name}: {problem}"
        raise LockFileError(file=file, problem=told, advice=f"{advice} {AGAIN}") from None


def _notes(lock: LockFile, catalog: Catalog, file: str) -> Iterator[str]:
    if lock.head > catalog.head:
        yield (
            f"{file} was written by a newer storage-admin, which knows version {lock.head}; the installed one knows "
            f"versions up to {catalog.head}"
        )
    for version in catalog.versions[lock.head :]:
        yield f"version {version.number} ({version.released}) is newer than {file}: {version.summary}"


# --- read --------------------------------------------------------------------------------------------------


def read_lock(path: Path) -> LockFile:
    """Read a lock file.

    Raises:
        LockFileError: it is not there, or not what `storage-admin lock` writes.
    """
    try:
        text = path.read_text(encoding="utf-8")
        file = msgspec.convert(loads(text), File)
        if file.format != FORMAT:
            problem = f"its format is {file.format}, and this storage-admin reads {FORMAT}; install a newer one"
            raise LockFileError(file=path, problem=problem, advice="")
        dialect_named(file.dialect)
        lock = LockFile(file.dialect, file.head, tuple(_tables(file, text)))
    except FileNotFoundError:
        raise LockFileError(file=path, problem="there is no such file", advice=FIRST) from None
    except OSError as error:
        raise LockFileError(file=path, problem=f"it cannot be read: {error.strerror}", advice="") from None
    except (TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError, BadTableName, UnsupportedDatabase) as error:
        raise LockFileError(file=path, problem=str(error).rstrip("."), advice=AGAIN) from None
    seen: set[TableName] = set()
    for table in lock.tables:
        if table.live.name in seen:  # a merge kept both sides
            problem = f"line {table.line}: {table.live.name} is there twice"
            raise LockFileError(file=path, problem=problem, advice=AGAIN)
        seen.add(table.live.name)
    return lock


def _tables(file: File, text: str) -> Iterator[LockedTable]:
    lines = text.split("\n")
    starts = [number for number, line in enumerate(lines) if line.strip() == BLOCK]
    spans = list(pairwise([*starts, len(lines)]))
    if len(spans) != len(file.tables):  # edited by hand, into what is TOML too
        spans = [(0, len(lines))] * len(file.tables)
    shapes: dict[object, Shape] = {}  # a shape that is shared is compared once
    for block, (start, end) in zip(file.tables, spans, strict=True):
        places = {line.strip().rstrip(","): number + 1 for number, line in enumerate(lines[start:end], start)}
        new = _shape(block)
        shape = shapes.setdefault((new.columns, new.primary_key, new.indexes), new)
        for name in block.names:
            table = parse_name(name)
            indexes = tuple(_expanded(index.name, table) for index in block.indexes)
            live = LiveTable(table, shape, block.relation, indexes)
            line = places.get(_quoted(name), start + 1)
            yield LockedTable(live, block.kinds, block.version, block.recorded, block.large, line)


def _shape(block: Block) -> Shape:
    return Shape(
        tuple(LiveColumn(c.name, c.type, c.null, "given" if c.default else None, c.generated) for c in block.columns),
        block.primary_key,
        tuple(LiveIndex(i.columns, i.unique, i.valid, i.plain) for i in block.indexes),
    )


# --- written -----------------------------------------------------------------------------------------------


def write_lock(lock: LockFile, path: Path) -> bool:
    """Write a lock file, whole or not at all; say whether anything is different now.

    Raises:
        LockFileError: there is a file of another sort, or it cannot be written.
    """
    text = lock_text(lock)
    try:
        if path.exists():
            old = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else "another"
            if old == text:
                return False
            if old and not old.startswith(SIGN):
                problem, advice = "that is no lock file, and was left as it is", "Choose another --lock-file."
                raise LockFileError(file=path, problem=problem, advice=advice)
        write_whole(path, text)
    except OSError as error:
        raise LockFileError(file=path, problem=f"it cannot be written: {error.strerror}", advice="") from None
    return True


def lock_text(lock: LockFile) -> str:
    """The text of a lock file: the same for the same tables, in whatever order they come."""
    blocks: dict[Block, list[str]] = {}
    for table in lock.tables:
        blocks.setdefault(_block(table), []).append(written_name(table.live.name))
    named = sorted((sorted(names), block) for block, names in blocks.items())
    head = f"{HEADER}format = {FORMAT}\ndialect = {_quoted(lock.dialect)}\nhead = {lock.head}\n"
    return head + "".join(_block_text(names, block) for names, block in named)


def _block(table: LockedTable) -> Block:
    live, shape = table.live, table.live.shape
    columns = (ColumnEntry(c.name, c.type, c.nullable, c.default is not None, c.generated) for c in shape.columns)
    indexes = (
        IndexEntry(_template(name, live.name), i.columns, i.unique, i.valid, i.plain)
        for name, i in zip(live.index_names, shape.indexes, strict=True)
    )
    return Block(
        names=(),
        kinds=table.kinds,
        columns=tuple(columns),
        version=table.version,
        recorded=table.recorded,
        relation=live.relation,
        large=table.large,
        primary_key=shape.primary_key,
        indexes=tuple(sorted(indexes, key=lambda index: (index.name, index.columns))),
    )


def _block_text(names: Sequence[str], block: Block) -> str:
    entries: dict[str, Any] = msgspec.to_builtins(block)
    columns, indexes = entries.pop("columns"), entries.pop("indexes", [])
    lines = ["", BLOCK, "names = [", *(f"    {_quoted(name)}," for name in names), "]"]
    lines += [f"{key} = {_value(value)}" for key, value in entries.items() if key != "names"]
    for key, rows in (("columns", columns), ("indexes", indexes)):
        lines += [f"{key} = [", *(f"    {_value(row)}," for row in rows), "]"] if rows else []
    return "\n".join(lines) + "\n"


def _value(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_value, value)) + "]"
    return _quoted(value) if isinstance(value, str) else json.dumps(value)


def _quoted(text: str) -> str:
    # A string of JSON is one of TOML, but for DEL, which TOML wants escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


# Index names follow the table's in most cases; with the table's name taken out, those of a thousand tables are alike.


def _template(name: str, table: TableName) -> str:
    name = name.replace("{", "{{").replace("}", "}}")
    prefix = f"{table.schema}_{table.name}" if table.schema is not None else None
    for stand_in, known in (("{prefix}", prefix), ("{table}", table.name)):
        if known and not {*known} & {*"{}"}:
            name = re.sub(rf"(?<![^_]){re.escape(known)}(?![^_])", stand_in, name)
    return name


def _expanded(template: str, table: TableName) -> str:
    prefix = f"{table.schema}_{table.name}" if table.schema is not None else table.name
    meant = {"{{": "{", "}}": "}", "{prefix}": prefix, "{table}": table.name}
    try:
        return BRACES.sub(lambda found: meant[found[0]], template)
    except KeyError:
        raise BadTableName(text=template, problem="an index name may have {prefix} and {table} in braces") from None
