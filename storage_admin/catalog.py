"""The catalogue: all versions of all kinds, read from ``versions/`` and checked once.

The files are declarative (``versions/README.md`` has the format). A mistake in one raises `CatalogError` with the
file and the place in it.
"""

from __future__ import annotations

import hashlib
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from storage_admin.dialects import SINGLESTORE, dialect_named
from storage_admin.errors import CatalogError, KindNotInVersion, ReleasedFileChanged, UnknownKind, UnknownVersion
from storage_admin.schema import Column, ColumnType, Index, TableSchema
from storage_admin.texts import did_you_mean
from storage_admin.toml import TOMLDecodeError, loads

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

CHECKSUMS = "SHA256SUMS"
DEFAULTS = frozenset({"now"})
DIGITS = 3


# --- the format of a file ----------------------------------------------------------------------------------


class ColumnEntry(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One line under ``[KIND.columns]``."""

    type: ColumnType
    primary_key: bool = False
    default: str | None = None


class IndexEntry(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One line under ``[KIND.indexes]``."""

    columns: list[str]
    name: str | None = None
    only: list[str] | None = None


class RetiredEntry(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """``[KIND.retired]``: what the previous version of the kind had and this one no longer asks for."""

    columns: list[str] = []
    indexes: list[str] = []


class KindEntry(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """``[KIND]``: the whole definition of one kind."""

    columns: dict[str, ColumnEntry]
    indexes: dict[str, IndexEntry] = {}
    retired: RetiredEntry = RetiredEntry()


# --- the values --------------------------------------------------------------------------------------------


class Version(msgspec.Struct, frozen=True):
    """One file: the definitions that changed, and all that hold from it on."""

    number: int
    released: str
    summary: str
    file: str
    changed: tuple[str, ...]
    kinds: Mapping[str, TableSchema]


class Catalog(msgspec.Struct, frozen=True, eq=False, dict=True):
    """All versions, in order; version N is ``versions[N - 1]``."""

    folder: Path
    versions: tuple[Version, ...]

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """All kinds, in the order in which they appear."""
        return tuple(dict.fromkeys(kind for version in self.versions for kind in version.changed))

    @property
    def head(self) -> int:
        """The number of the newest version."""
        return len(self.versions)

    def version(self, number: int) -> Version:
        """One version.

        Raises:
            UnknownVersion: the catalogue has none of this number.
        """
        if not 1 <= number <= self.head:
            raise UnknownVersion(version=number, head=self.head)
        return self.versions[number - 1]

    def definitions(self, kind: str) -> tuple[tuple[int, TableSchema], ...]:
        """Every definition of a kind, with the version it comes from, oldest first."""
        return tuple((v.number, v.kinds[kind]) for v in self.versions if kind in v.changed)

    def first_version(self, kinds: Iterable[str]) -> int:
        """The version from which all of these kinds exist."""
        return max(self.definitions(self.known_kind(kind))[0][0] for kind in kinds)

    def known_kind(self, kind: str) -> str:
        """The kind itself, if the catalogue has it.

        Raises:
            UnknownKind: it does not; the error suggests a similar one.
        """
        if kind in self.kinds:
            return kind
        raise UnknownKind(kind=kind, known=", ".join(self.kinds), suggestion=did_you_mean(kind, self.kinds))

    def target_for(self, kinds: Iterable[str], version: int, dialect: str) -> TableSchema:
        """The union of the definitions of some kinds at a version, as one database product (by name) has it.

        Raises:
            UnknownKind, UnknownVersion, KindNotInVersion. UnsupportedDatabase: no such product is known.
        """
        product = dialect if dialect == SINGLESTORE.name else dialect_named(dialect).name
        return self._target(tuple(kinds), version, product)

    @lru_cache(maxsize=512)  # noqa: B019 - a catalogue lives as long as the process
    def _target(self, kinds: tuple[str, ...], number: int, dialect: str) -> TableSchema:
        version = self.version(number)
        columns: dict[str, Column] = {}
        indexes: dict[tuple[str, ...], Index] = {}
        for kind in kinds:
            if self.known_kind(kind) not in version.kinds:
                raise KindNotInVersion(kind=kind, version=number, first=self.first_version([kind]))
            for column in version.kinds[kind].columns:
                known = columns.get(column.name)
                columns[column.name] = column if known is None or known.default is None else known
            for index in version.kinds[kind].indexes:
                if index.only is None or dialect in index.only:
                    indexes.setdefault(index.columns, index)
        return TableSchema(tuple(columns.values()), tuple(indexes[key] for key in sorted(indexes)))

    def retired(self, kinds: Iterable[str], version: int) -> tuple[frozenset[str], frozenset[tuple[str, ...]]]:
        """The columns, and the columns of the indexes, that versions before this one had."""
        older = [schema for kind in kinds for number, schema in self.definitions(kind) if number < version]
        columns = frozenset(name for schema in older for name in schema.column_names)
        return columns, frozenset(index.columns for schema in older for index in schema.indexes)

    def indexes_on(self, kinds: Iterable[str], columns: tuple[str, ...]) -> frozenset[Index]:
        """Every definition that any version has of an index on these columns: each may have a name of its own."""
        schemas = (schema for kind in kinds for _, schema in self.definitions(kind))
        return frozenset(index for schema in schemas for index in schema.indexes if index.columns == columns)

    @cached_property
    def markers(self) -> tuple[str, ...]:
        """The columns by which a session table is looked for: the primary keys of all kinds."""
        return tuple(
            sorted({key for kind in self.kinds for _, schema in self.definitions(kind) for key in schema.primary_key})
        )

    def verify(self) -> tuple[str, ...]:
        """Compare the files with ``SHA256SUMS``; return the names of files that are not in it (not released yet).

        Raises:
            ReleasedFileChanged: a file that is in it differs or is gone.
        """
        lock = self.folder / CHECKSUMS
        lines = lock.read_text(encoding="utf-8").splitlines() if lock.exists() else []
        released = {name: digest for digest, name in (line.split(maxsplit=1) for line in lines if line.strip())}
        found = {v.file: hashlib.sha256((self.folder / v.file).read_bytes()).hexdigest() for v in self.versions}
        changed = sorted(name for name, digest in released.items() if found.get(name) != digest)
        if changed:
            raise ReleasedFileChanged(lock=str(lock), files=", ".join(changed))
        return tuple(sorted(found.keys() - released.keys()))


# --- reading -----------------------------------------------------------------------------------------------


def default_folder() -> Path:
    """Where the shipped versions are: in the package when installed from a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parent
    shipped = package / "versions"
    return shipped if shipped.is_dir() else package.parent / "versions"


@lru_cache(maxsize=8)
def load_catalog(folder: Path | None = None) -> Catalog:
    """Read and check a folder of versions (the shipped one without an argument).

    Raises:
        CatalogError: a file cannot be read, has an unknown key or type, leaves a gap, or takes something away.
    """
    folder = folder or default_folder()
    files = sorted(folder.glob("*.toml"))
    if not files:
        raise CatalogError(file=str(folder), place="folder", problem="it holds no version files (NNN_name.toml)")
    versions: list[Version] = []
    for file in files:
        versions.append(_read_version(file, versions))
    return Catalog(folder, tuple(versions))


def _read_version(file: Path, before: Sequence[Version]) -> Version:
    number = _number(file, len(before) + 1)
    try:
        content: dict[str, Any] = loads(file.read_text(encoding="utf-8"))
    except (TOMLDecodeError, UnicodeDecodeError) as error:
        raise CatalogError(file=file.name, place="TOML", problem=str(error)) from None
    summary, released = (_text(file, content, key) for key in ("summary", "released"))
    entries = {kind: _entry(file, kind, value) for kind, value in content.items()}
    if not entries:
        raise CatalogError(file=file.name, place="file", problem="it defines no kind")
    kinds = dict(before[-1].kinds) if before else {}
    for kind, entry in entries.items():
        schema = _schema(file, kind, entry)
        _check_additive(file, kind, kinds.get(kind), schema, entry.retired)
        kinds[kind] = schema
    _check_unions(file, kinds)
    return Version(number, released, summary, file.name, tuple(entries), kinds)


def _number(file: Path, expected: int) -> int:
    digits, _, name = file.stem.partition("_")
    if not (digits.isdigit() and len(digits) == DIGITS and name.isidentifier()):
        raise CatalogError(file=file.name, place="file name", problem="it is not of the form NNN_name.toml")
    if int(digits) != expected:
        raise CatalogError(file=file.name, place="file name", problem=f"version {expected:03} is expected here")
    return expected


def _text(file: Path, content: dict[str, Any], key: str) -> str:
    value = content.pop(key, None)
    if not isinstance(value, str) or not value.strip():
        raise CatalogError(file=file.name, place=key, problem="a text is needed here")
    return value


def _entry(file: Path, kind: str, value: object) -> KindEntry:
    if not (kind.isidentifier() and kind.islower()):
        raise CatalogError(file=file.name, place=kind, problem="a kind is a lower-case identifier")
    try:
        return msgspec.convert(value, KindEntry)
    except msgspec.ValidationError as error:
        problem, _, path = str(error).partition(" - at `$")
        place = kind + path.removesuffix("`").replace("[...]", "")
        raise CatalogError(file=file.name, place=place, problem=_in_words(problem, kind, value)) from None


def _in_words(problem: str, kind: str, value: object) -> str:
    # The validator names a place inside a table as [...], not by its key: name the entry that holds the bad word.
    words = {word.strip("'`") for word in problem.split() if word[:1] in "'`"}
    if isinstance(value, dict):
        for section, entries in value.items():
            for key, entry in entries.items() if isinstance(entries, dict) else ():
                if isinstance(entry, dict) and words & ({str(v) for v in entry.values()} | set(entry)):
                    return f"{problem} (in {kind}.{section}.{key})"
    return problem


def _schema(file: Path, kind: str, entry: KindEntry) -> TableSchema:
    columns = tuple(Column(name, c.type, c.primary_key, c.default) for name, c in entry.columns.items())
    for column in columns:
        if column.default is not None and column.default not in DEFAULTS:
            _refuse(file, f"{kind}.columns.{column.name}.default", f"the only default is {', '.join(sorted(DEFAULTS))}")
    schema = TableSchema(
        columns, tuple(_index(file, f"{kind}.indexes.{key}", i, entry) for key, i in entry.indexes.items())
    )
    if not schema.primary_key:
        _refuse(file, f"{kind}.columns", "one column needs primary_key = true")
    return schema


def _index(file: Path, place: str, entry: IndexEntry, kind: KindEntry) -> Index:
    unknown = [name for name in entry.columns if name not in kind.columns]
    if unknown or not entry.columns:
        _refuse(file, f"{place}.columns", f"no such column: {', '.join(unknown) or '(none named)'}")
    if entry.name is not None:
        try:
            entry.name.format(table="", prefix="", columns="")
        except (KeyError, IndexError, ValueError):
            _refuse(file, f"{place}.name", "a name may use {table}, {prefix} and {columns}")
    return Index(tuple(entry.columns), entry.name, frozenset(entry.only) if entry.only is not None else None)


def _check_additive(file: Path, kind: str, old: TableSchema | None, new: TableSchema, retired: RetiredEntry) -> None:
    had = {column.name: column for column in old.columns} if old else {}
    has = {column.name: column for column in new.columns}
    for name in retired.columns:
        if name not in had or name in has:
            _refuse(file, f"{kind}.retired.columns", f"{name} must be in the version before and not in this one")
    for name, column in had.items():
        if name in retired.columns:
            continue
        if name not in has:
            _refuse(file, f"{kind}.columns", f"{name} is gone; a version only adds, or declares a column retired")
        if (has[name].type, has[name].primary_key) != (column.type, column.primary_key):
            _refuse(file, f"{kind}.columns.{name}", "its type or primary key differs from the version before")
        if column.default is not None and has[name].default != column.default:
            _refuse(file, f"{kind}.columns.{name}", "the default of the version before is gone")
    for name, column in has.items():
        if old and name not in had and column.primary_key:
            _refuse(file, f"{kind}.columns.{name}", "a primary key cannot be added to a table that exists")
    _check_indexes(file, kind, old, new, retired)


def _check_indexes(file: Path, kind: str, old: TableSchema | None, new: TableSchema, retired: RetiredEntry) -> None:
    had = {"_".join(index.columns): index for index in old.indexes} if old else {}
    has = {index.columns for index in new.indexes}
    for name in retired.indexes:
        if name not in had or had[name].columns in has:
            _refuse(file, f"{kind}.retired.indexes", f"{name} must be in the version before and not in this one")
    for name, index in had.items():
        if name not in retired.indexes and index.columns not in has:
            _refuse(file, f"{kind}.indexes", f"the index on {name} is gone; declare it retired or keep it")


def _check_unions(file: Path, kinds: Mapping[str, TableSchema]) -> None:
    # A table may hold rows of several kinds, so a column means one thing in all of them.
    types: dict[str, tuple[str, ColumnType, bool]] = {}
    for kind, schema in kinds.items():
        for column in schema.columns:
            first, *definition = types.setdefault(column.name, (kind, column.type, column.primary_key))
            if definition != [column.type, column.primary_key]:
                _refuse(file, f"{kind}.columns.{column.name}", f"{first} defines this column otherwise")


def _refuse(file: Path, place: str, problem: str) -> None:
    raise CatalogError(file=file.name, place=place, problem=problem)
