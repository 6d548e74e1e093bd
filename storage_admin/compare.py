"""Shape against definition: which kinds a table holds, at which version it is, what is to be done. Pure."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from storage_admin.changes import (
    AddColumn,
    Change,
    CreateIndex,
    CreateSchema,
    CreateTable,
    Drift,
    Extra,
    ExtraColumn,
    ExtraIndex,
    Generated,
    NotNull,
    Plan,
    RebuildIndex,
    SetDefault,
    Status,
    WrongPrimaryKey,
    WrongType,
)
from storage_admin.errors import NameTooLong
from storage_admin.schema import LiveColumn, LiveIndex, LiveTable, Shape, TableName

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from storage_admin.catalog import Catalog
    from storage_admin.dialects import Dialect
    from storage_admin.schema import Column, Index, TableSchema

NAMES_TRIED = 3

# --- which kinds -------------------------------------------------------------------------------------------


class Resemblance(msgspec.Struct, frozen=True):
    """The definition that a shape comes closest to, and the columns that it lacks."""

    kind: str
    version: int
    missing: tuple[str, ...]

    @property
    def near(self) -> bool:
        """One column away: dropped by hand, most likely, rather than somebody else's table."""
        return len(self.missing) == 1


class Identity(msgspec.Struct, frozen=True):
    """The kinds that a shape holds, those that it could hold as well, and what it resembles if it holds none."""

    kinds: tuple[str, ...]
    alternatives: tuple[str, ...] = ()
    resemblance: Resemblance | None = None


@lru_cache(maxsize=4096)
def identify(shape: Shape, catalog: Catalog, dialect: Dialect) -> Identity:
    """Tell the kinds of a table from its columns.

    A table holds a kind when it has all the columns of one of the kind's definitions. A kind whose definition is a
    part of another one that the table fulfils is that other one's predecessor (workflow in workflow_v2); of two equal
    ones the older counts and the younger is an alternative.
    """
    live = frozenset(dialect.fold(column.name) for column in shape.columns)
    fulfilled: dict[str, frozenset[str]] = {}
    closest: Resemblance | None = None
    for kind in catalog.kinds:
        for number, schema in reversed(catalog.definitions(kind)):
            missing = schema.column_names - live
            if not missing:
                fulfilled[kind] = schema.column_names
                break
            if closest is None or len(missing) < len(closest.missing):
                closest = Resemblance(kind, number, tuple(n for n in _order(schema) if n in missing))
    kinds = tuple(kind for kind in fulfilled if not _covered(kind, fulfilled))
    alternatives = tuple(
        kind for kind in fulfilled if kind not in kinds and any(fulfilled[kind] == fulfilled[other] for other in kinds)
    )
    return Identity(kinds, alternatives, None if kinds else closest)


def _order(schema: TableSchema) -> list[str]:
    return [column.name for column in schema.columns]


def _covered(kind: str, fulfilled: Mapping[str, frozenset[str]]) -> bool:
    order = list(fulfilled)
    return any(
        fulfilled[kind] < columns or (fulfilled[kind] == columns and order.index(other) < order.index(kind))
        for other, columns in fulfilled.items()
        if other != kind
    )


def with_named(identity: Identity, named: tuple[str, ...], catalog: Catalog) -> tuple[str, ...]:
    """The kinds of a table whose user names some: found and named together, less those that a newer one covers."""
    newest = {kind: catalog.definitions(kind)[-1][1].column_names for kind in (*identity.kinds, *named)}
    ordered = {kind: newest[kind] for kind in catalog.kinds if kind in newest}
    return tuple(kind for kind in ordered if not _covered(kind, ordered))


# --- what is missing ---------------------------------------------------------------------------------------


class Difference(msgspec.Struct, frozen=True):
    """What one shape lacks towards one target, without the name of a table: it is the same for all of that shape.

    ``invalid`` are positions in ``shape.indexes``, as are ``extra_indexes``.
    """

    kinds: tuple[str, ...]
    version: int | None
    columns: tuple[Column, ...] = ()
    defaults: tuple[Column, ...] = ()
    indexes: tuple[Index, ...] = ()
    invalid: tuple[tuple[Index, int], ...] = ()
    drifts: tuple[Drift, ...] = ()
    extra_columns: tuple[ExtraColumn, ...] = ()
    extra_indexes: tuple[tuple[int, bool], ...] = ()

    @property
    def nothing_missing(self) -> bool:
        """Whether the shape fulfils the target."""
        return not (self.columns or self.defaults or self.indexes or self.invalid)


@lru_cache(maxsize=4096)
def difference(shape: Shape, kinds: tuple[str, ...], catalog: Catalog, dialect: Dialect, to: int) -> Difference:
    """Compare a shape with the target of its kinds at a version. Nothing is ever taken back: a table that is at that
    version or beyond lacks nothing.
    """
    version = version_of(shape, kinds, catalog, dialect)
    number = to if version is None else max(to, version)
    target = catalog.target_for(kinds, number, dialect.name)
    missing = _missing(shape, target, dialect)
    retired_columns, retired_indexes = catalog.retired(kinds, number)
    return Difference(
        kinds,
        version,
        *missing,
        drifts=_drifts(shape, target, dialect),
        extra_columns=tuple(
            ExtraColumn(column, dialect.fold(column.name) in retired_columns)
            for column in shape.columns
            if dialect.fold(column.name) not in target.column_names
        ),
        extra_indexes=_extra_indexes(shape, target, dialect, retired_indexes, {position for _, position in missing[3]}),
    )


def version_of(shape: Shape, kinds: tuple[str, ...], catalog: Catalog, dialect: Dialect) -> int | None:
    """The highest version for which a shape lacks nothing, None if there is none.

    A version that asks for less than another one that the shape fulfils does not count, unless it is the head:
    otherwise version 3, which only retires a column, would claim every table that version 2 made.
    """
    demands: dict[int, frozenset[tuple[str, ...]]] = {}
    for number in range(catalog.first_version(kinds), catalog.head + 1):
        target = catalog.target_for(kinds, number, dialect.name)
        if not any(_missing(shape, target, dialect)):
            demands[number] = _demand(target, dialect)
    if catalog.head in demands:
        return catalog.head
    weightiest = [n for n, demand in demands.items() if not any(demand < other for other in demands.values())]
    return max(weightiest, default=None)


def _demand(target: TableSchema, dialect: Dialect) -> frozenset[tuple[str, ...]]:
    columns = {("column", column.name) for column in target.columns}
    defaults = {("default", column.name) for column in target.columns if dialect.default_sql(column.default)}
    return frozenset(columns | defaults | {("index", *index.columns) for index in target.indexes})


def _missing(
    shape: Shape, target: TableSchema, dialect: Dialect
) -> tuple[tuple[Column, ...], tuple[Column, ...], tuple[Index, ...], tuple[tuple[Index, int], ...]]:
    live = {dialect.fold(column.name): column for column in shape.columns}
    valid, invalid = _index_positions(shape, dialect)
    lacking = [index for index in target.indexes if index.columns not in valid]
    return (
        tuple(column for column in target.columns if column.name not in live),
        tuple(c for c in target.columns if c.name in live and _lacks_default(live[c.name], c, dialect)),
        tuple(index for index in lacking if index.columns not in invalid),
        tuple((index, invalid[index.columns]) for index in lacking if index.columns in invalid),
    )


def _lacks_default(live: LiveColumn, column: Column, dialect: Dialect) -> bool:
    wanted = dialect.default_sql(column.default)
    return dialect.alters_defaults and wanted is not None and live.default is None and not live.generated


def _index_positions(shape: Shape, dialect: Dialect) -> tuple[dict[tuple[str, ...], int], dict[tuple[str, ...], int]]:
    valid: dict[tuple[str, ...], int] = {}
    invalid: dict[tuple[str, ...], int] = {}
    for position, index in enumerate(shape.indexes):
        if index.plain:
            columns = tuple(dialect.fold(name) for name in index.columns)
            (valid if index.valid else invalid).setdefault(columns, position)
    return valid, invalid


# --- what is wrong, what is more ---------------------------------------------------------------------------


def _drifts(shape: Shape, target: TableSchema, dialect: Dialect) -> tuple[Drift, ...]:
    wanted = {column.name: column for column in target.columns}
    drifts: list[Drift] = []
    for column in shape.columns:
        drifts.extend(_column_drifts(column, wanted.get(dialect.fold(column.name)), dialect))
    found = tuple(dialect.fold(name) for name in shape.primary_key)
    if found != target.primary_key:
        drifts.append(WrongPrimaryKey(target.primary_key, shape.primary_key))
    return tuple(drifts)


def _column_drifts(live: LiveColumn, wanted: Column | None, dialect: Dialect) -> list[Drift]:
    if wanted is None:
        filled = live.nullable or live.default is not None or live.generated
        return [] if filled else [NotNull(live.name, extra=True)]
    drifts: list[Drift] = []
    if not dialect.is_of_type(live.type, wanted.type):
        drifts.append(WrongType(live.name, dialect.types[wanted.type].sql, live.type.upper() or "without a type"))
    if live.generated:
        drifts.append(Generated(live.name))
    # A column with a named default is left to the database by every insert; all others are sent, also as NULL.
    filled = wanted.primary_key or (live.default is not None and wanted.default is not None)
    if not live.nullable and not filled:
        drifts.append(NotNull(live.name, extra=False))
    return drifts


def _extra_indexes(
    shape: Shape, target: TableSchema, dialect: Dialect, retired: frozenset[tuple[str, ...]], rebuilt: set[int]
) -> tuple[tuple[int, bool], ...]:
    valid, _ = _index_positions(shape, dialect)
    used = {valid[index.columns] for index in target.indexes if index.columns in valid} | rebuilt
    return tuple(
        (position, tuple(dialect.fold(name) for name in index.columns) in retired)
        for position, index in enumerate(shape.indexes)
        if position not in used
    )


# --- plans -------------------------------------------------------------------------------------------------


def compare(
    live: LiveTable,
    kinds: tuple[str, ...],
    catalog: Catalog,
    dialect: Dialect,
    *,
    to: int | None = None,
    recorded: int | None = None,
    taken: Collection[TableName] = (),
) -> Plan:
    """Plan the way of a live table to a version (the head without one).

    ``recorded`` is the version that the newest revision names; ``taken`` are the names of relations that exist, so
    that a new index gets another name where somebody else's has the usual one.
    """
    to = catalog.head if to is None else to
    diff = difference(live.shape, kinds, catalog, dialect, to)
    ahead = recorded is not None and recorded > catalog.head
    ours, others = _ours(live, diff, catalog, dialect)
    changes = () if ahead else _changes(live, diff, ours, dialect, taken)
    return Plan(
        table=live.name,
        kinds=kinds,
        status=_status(diff, ahead),
        version=diff.version,
        target_version=to if diff.version is None else max(to, diff.version),
        changes=changes,
        drifts=diff.drifts,
        extras=(*_extras(live, diff), *others),
        alternatives=tuple(a for a in identify(live.shape, catalog, dialect).alternatives if a not in kinds),
        recorded=recorded,
        live=live,
    )


def plan_new(
    table: TableName,
    kinds: tuple[str, ...],
    catalog: Catalog,
    dialect: Dialect,
    *,
    to: int | None = None,
    create_schema: bool = False,
    taken: Collection[TableName] = (),
) -> Plan:
    """Plan the creation of a table that does not exist.

    Raises:
        NameTooLong: the database would cut the name.
    """
    for part in (table.schema, table.name):
        if part is not None and dialect.name_limit is not None and dialect.length(part) > dialect.name_limit:
            unit = "bytes" if dialect.counts_bytes else "characters"
            raise NameTooLong(name=part, length=dialect.length(part), unit=unit, limit=dialect.name_limit)
    to = catalog.head if to is None else to
    target = catalog.target_for(kinds, to, dialect.name)
    changes: list[Change] = [CreateSchema(table.schema)] if create_schema and table.schema is not None else []
    changes.append(CreateTable(target.columns))
    changes.extend(CreateIndex(index, free_name(table, index, dialect, taken)) for index in target.indexes)
    return Plan(table, kinds, Status.MISSING, None, to, tuple(changes))


def plan_between(
    table: TableName, kinds: tuple[str, ...], catalog: Catalog, dialect: Dialect, *, start: int, to: int | None = None
) -> Plan:
    """Plan the way of a table that is exactly as a version made it, without a database; from 0 it is created."""
    if start == 0:
        return plan_new(table, kinds, catalog, dialect, to=to, create_schema=True)
    schema = catalog.target_for(kinds, start, dialect.name)
    columns = tuple(
        LiveColumn(c.name, dialect.types[c.type].sql, not c.primary_key, dialect.default_sql(c.default))
        for c in schema.columns
    )
    shape = Shape(columns, schema.primary_key, tuple(LiveIndex(index.columns) for index in schema.indexes))
    names = tuple(dialect.index_name(table, index) for index in schema.indexes)
    plan = compare(LiveTable(table, shape, index_names=names), kinds, catalog, dialect, to=to)
    return msgspec.structs.replace(
        plan, version=start
    )  # several versions of a kind may look the same; the caller named one


def free_name(table: TableName, index: Index, dialect: Dialect, taken: Collection[TableName]) -> str:
    """The usual name of an index, or the first numbered one that nobody has."""
    attempt = 0
    while _taken(table, name := dialect.index_name(table, index, attempt=attempt), taken):
        attempt += 1
    return name


def _taken(table: TableName, name: str, taken: Collection[TableName]) -> bool:
    return any(other.schema == table.schema and other.name == name for other in taken)


def _status(diff: Difference, ahead: bool) -> Status:
    if ahead:
        return Status.AHEAD
    if diff.drifts:
        return Status.DRIFTED
    return Status.CURRENT if diff.nothing_missing else Status.OUTDATED


def _ours(
    live: LiveTable, diff: Difference, catalog: Catalog, dialect: Dialect
) -> tuple[tuple[RebuildIndex, ...], tuple[ExtraIndex, ...]]:
    """The invalid indexes that bear a name which we or a release give, so that they may be rebuilt; and the others."""
    ours: list[RebuildIndex] = []
    others: list[ExtraIndex] = []
    for index, position in diff.invalid:
        name = live.index_names[position]
        known = catalog.indexes_on(diff.kinds, index.columns)
        if any(name == dialect.index_name(live.name, i, attempt=n) for i in known for n in range(NAMES_TRIED)):
            ours.append(RebuildIndex(index, name))
        else:
            others.append(ExtraIndex(name, live.shape.indexes[position].columns, retired=False))
    return tuple(ours), tuple(others)


def _changes(
    live: LiveTable,
    diff: Difference,
    ours: tuple[RebuildIndex, ...],
    dialect: Dialect,
    taken: Collection[TableName],
) -> tuple[Change, ...]:
    rebuilt = {build.index for build in ours}
    taken = {*taken, *(TableName(live.name.schema, name) for name in live.index_names)}
    missing = (*diff.indexes, *(index for index, _ in diff.invalid if index not in rebuilt))
    return (
        *(AddColumn(column) for column in diff.columns),
        *(SetDefault(column) for column in diff.defaults),
        *ours,
        *(CreateIndex(index, free_name(live.name, index, dialect, taken)) for index in missing),
    )


def _extras(live: LiveTable, diff: Difference) -> tuple[Extra, ...]:
    return (
        *diff.extra_columns,
        *(
            ExtraIndex(live.index_names[position], live.shape.indexes[position].columns, retired)
            for position, retired in diff.extra_indexes
        ),
    )
