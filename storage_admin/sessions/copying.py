"""From one database into another, without a file in between; and whether two databases hold the same."""

from __future__ import annotations

import json
from contextlib import contextmanager
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from storage_admin.database import dialect_of
from storage_admin.errors import CopyDiffers
from storage_admin.messages import displayed_url
from storage_admin.sessions.exporting import Source, header, snapshot
from storage_admin.sessions.formats import NULL_FORM, OWN, TEXT_FORM, Line, split
from storage_admin.sessions.importing import Import, Loaded, LoadedTable
from storage_admin.sessions.readers import Section
from storage_admin.sessions.tables import SESSION_ID, session_tables

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from sqlalchemy import Connection

    from storage_admin.schema import TableName
    from storage_admin.sessions.filters import Filter
    from storage_admin.sessions.formats import Header
    from storage_admin.sessions.loading import OnConflict
    from storage_admin.sessions.tables import SessionTable

BUCKETS = 4_096
NAMED = 20  # sessions that differ
KEEPING = ("skip", "newer")  # on a conflict: what is in the target may rightly differ
CONTEXT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)  # every digit counts


class Difference(msgspec.Struct, frozen=True):
    """Some sessions: how many, and the ids of the first."""

    sessions: int = 0
    ids: tuple[str, ...] = ()

    def __str__(self) -> str:
        more = f" and {self.sessions - len(self.ids):,} more" if self.sessions > len(self.ids) else ""
        return f"{', '.join(map(repr, self.ids))}{more}"


class Compared(msgspec.Struct, frozen=True):
    """A table of the source beside that of the target: of its ``sessions``, ``missing`` are not in the target,
    ``different`` are others there. ``target_only`` are in the target alone, which a copy leaves.
    """

    table: TableName
    sessions: int
    same: int
    missing: Difference = Difference()
    different: Difference = Difference()
    target_only: Difference = Difference()

    @property
    def equal(self) -> bool:
        """Whether every session of the source is in the target as it was."""
        return self.sessions == self.same


class Copied(msgspec.Struct, frozen=True):
    """What became of a copy, and of the comparison after it."""

    loaded: Loaded | None
    tables: tuple[Compared, ...]


class Copy(Import):
    """Sessions of tables of one database on their way into another; a table that is there is upgraded first."""

    def verify(self, connection: Connection, tables: Sequence[SessionTable], wanted: Filter) -> tuple[Compared, ...]:
        """Compare each table of the source with that of the target."""
        found = []
        for table in tables:
            ref = msgspec.structs.replace(self._ref(header(table)), kinds=())
            with self.admin.opened([ref]) as (there, plans):
                [target] = session_tables(plans, self.admin.catalog, dialect_of(there.engine))
                found.append(compare((connection, table), (there, target), wanted, self.without))
        return tuple(found)

    def copy(self, connection: Connection, tables: Sequence[SessionTable], wanted: Filter) -> Loaded:
        """Bring the sessions that are meant over, as they are at one moment. Raises as `Sessions.copy`."""
        self.where = displayed_url(connection.engine.url)
        with snapshot(connection, tables[0].dialect.name):
            return self.take(_section(connection, table, wanted) for table in tables)

    @contextmanager
    def _target(self, header: Header | None) -> Iterator[tuple[Connection, SessionTable, LoadedTable]]:
        ref = self._ref(header)
        with self.admin.opened([ref], writable=True) as (_, [plan]):
            there = plan.live is not None
        if there:
            self.admin.upgrade([ref])
        with super()._target(header) as target:
            yield target


def _section(connection: Connection, table: SessionTable, wanted: Filter) -> Section:
    source = Source(connection, table, wanted, keyset=False)
    lines = (data for block in source.lines() for data in block.lines)
    return Section(header(table), (Line(number, data) for number, data in enumerate(lines, 1)))


# --- whether they are the same -----------------------------------------------------------------------------


def compare(
    source: tuple[Connection, SessionTable],
    target: tuple[Connection, SessionTable],
    wanted: Filter,
    without: Collection[str] = (),
) -> Compared:
    """Compare the sessions that are meant, in constant memory: sums of hashes first, and ids only where they differ."""
    names = [column.name for column in source[1].columns if not column.generated and column.name not in without]
    json_columns = frozenset(source[1].json_columns)

    def hashes(side: tuple[Connection, SessionTable]) -> Iterator[tuple[str, int]]:
        for block in Source(*side, wanted, keyset=False).lines():
            for data in block.lines:
                key, text = canonical(data, names, json_columns)
                yield key, int.from_bytes(blake2b(text, digest_size=12).digest(), "big")

    here, there = _sums(hashes(source)), _sums(hashes(target))
    differing = {bucket for bucket in range(BUCKETS) if here.sums[bucket] != there.sums[bucket]}
    if not differing:
        return Compared(source[1].name, here.sessions, here.sessions)
    mine, theirs = ({k: v for k, v in hashes(side) if _bucket(k) in differing} for side in (source, target))
    missing = _difference(key for key in mine if key not in theirs)
    different = _difference(key for key, value in mine.items() if key in theirs and theirs[key] != value)
    target_only = _difference(key for key in theirs if key not in mine)
    same = here.sessions - missing.sessions - different.sessions
    return Compared(source[1].name, here.sessions, same, missing, different, target_only)


def _difference(keys: Iterable[str]) -> Difference:
    found = list(keys)
    return Difference(len(found), tuple(found[:NAMED]))


class _Sums(NamedTuple):
    sums: list[int]
    sessions: int


def _sums(hashes: Iterator[tuple[str, int]]) -> _Sums:
    sums, count = [0] * BUCKETS, 0
    for key, value in hashes:
        sums[_bucket(key)] += value
        count += 1
    return _Sums(sums, count)


def _bucket(key: str) -> int:
    return int.from_bytes(blake2b(key.encode("utf-8", "surrogatepass"), digest_size=4).digest(), "big") % BUCKETS


def canonical(data: bytes, names: Sequence[str], json_columns: Collection[str]) -> tuple[str, bytes]:
    """The id of a session, and its values in a form that is the same whatever database it comes from: JSON without
    regard to space, order and escapes, numbers by their value.
    """
    parts = split(data)
    forms = json.loads(bytes(parts[OWN])) if OWN in parts else {}
    values: list[Any] = []
    for name in names:
        raw = bytes(parts[name]) if name in parts else b"null"
        form = forms.get(name)
        if raw == b"null":
            values.append(["null"] if form == NULL_FORM else None)
        elif name in json_columns:
            values.append([_meaning(json.loads(raw) if form == TEXT_FORM else raw)])
        else:
            values.append(_meaning(raw))
    return str(json.loads(bytes(parts[SESSION_ID]))), _bytes(values)


def _meaning(text: Any) -> Any:
    try:
        return json.loads(text, parse_float=_number, parse_int=_number)
    except (ValueError, TypeError, RecursionError):
        return str(text)  # no JSON, which is kept as it is


def _number(text: str) -> dict[str, str]:
    value = Decimal(text)
    return {"\0number": format(value.normalize(CONTEXT)) if value else "0"}


def _bytes(values: list[Any]) -> bytes:
    try:
        return msgspec.json.encode(values, order="sorted")
    except (UnicodeEncodeError, RecursionError):
        return json.dumps(values, sort_keys=True).encode()


def refuse_differences(done: Copied, source: str, target: str, on_conflict: OnConflict) -> None:
    """Say which tables are not the same. What differs is as it should be where it was to be kept.

    Raises:
        CopyDiffers
    """
    found = []
    for table in done.tables:
        wrong = {"missing": table.missing}
        if on_conflict not in KEEPING:
            wrong["different"] = table.different
        parts = [f"{what} {difference}" for what, difference in wrong.items() if difference.sessions]
        if parts:
            same = f"{table.same:,} of {table.sessions:,} sessions are the same"
            found.append(f"\n  {table.table}: {same}; {'; '.join(parts)}")
    if found:
        raise CopyDiffers(source=source, target=target, tables="".join(found), result=done)
