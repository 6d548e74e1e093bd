"""What differs between databases, as data. The rest of the package asks the record and has no branch of its own."""

from __future__ import annotations

from hashlib import md5
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from storage_admin.schema import ColumnType, Index, TableName


class TypeDefinition(msgspec.Struct, frozen=True):
    """A logical type on one database: how it is written, and which live types are as good.

    ``family`` holds lower-case names without a length: ``character varying`` stands for ``character varying(40)`` too.
    """

    sql: str
    family: frozenset[str]


class Dialect(msgspec.Struct, frozen=True, eq=False):
    """One database product.

    ``catalogue`` is a SQL text with ``{filter}``, ``{default}``, ``{rows}`` and ``{size}``, whose rows are, in order:
    schema, name, relation, columns (each with its number first), primary key (column numbers), indexes, index names,
    row estimate, bytes. Lists come as the inside of a JSON array, NULL if empty. Its parameters ``:names`` and
    ``:markers`` are JSON arrays of strings, ``:schema`` a name or NULL.

    ``begin`` begins a transaction of a script. ``enter`` begins one of ours, with ``{lock_timeout}`` (ms) and
    ``{key}``; a row that it returns begins with what is true, unless somebody else holds the lock. ``busy_states`` and
    ``busy_texts`` tell errors that another attempt may overcome, ``raced_states`` those that mean that somebody else
    made the same thing first, ``denied_states`` a right that we lack, ``stale_states`` and ``stale_texts`` a table
    that is not, or no longer, as it was thought to be.

    ``server_facts`` is a SQL text with one row: standby, read-only, role, session role, backend pid. ``table_facts``
    takes ``:names`` and has rows of schema, name, bytes of the rows without their long values, owner, is that a
    superuser, may we alter it, may we create in its schema, are we a member of the owner, may that create there, does
    row-level security apply to us, publications (text or NULL), the tables that it inherits from (a JSON array of
    pairs, or NULL). More have rows of pid, application, role, seconds, state, query:
    ``holders`` (of a lock on ``:schema``, ``:name``, or of the upgrade lock
    ``:key``), ``builders`` (of an index on it), ``snapshots`` (for which an index build waits), ``blockers`` (for whom
    the session ``:pid`` waits now). Each is empty where a database has none of this.

    An index of a table with more than ``small_bytes`` of rows is built concurrently, if that is not None; ``hold``
    are statements like ``enter``, for a transaction that does nothing but keep the lock meanwhile.

    Where statements of DDL commit by themselves (not ``transactional_ddl``) all columns go into one ALTER TABLE and all
    indexes into another, which end with the first and the last of ``algorithms``; where a server answers with one of
    ``unsupported_states`` the next one is tried. ``lockless_states`` mean that a server has no lock of the kind that
    ``enter`` takes, and ``leave`` gives back what it took. ``scope`` narrows the catalogue down to "all", one "schema"
    or one "table" (``:only``). ``read_only`` says what a read-only session is, and what to do; ``oldest`` are the first
    versions that are upgraded, by product; ``grant`` gives ``{role}`` the rights in ``{schema}``.

    ``lenient`` has one row, whether the server cuts texts in silence; ``narrow_texts`` takes ``:names`` and has rows of
    schema, name and the character set of texts that lacks some characters.

    ``older`` is another record, for servers before a version; ``remark`` is said at the head of a script.

    ``log_access`` has one row, of the log ``:name`` in ``:schema``, where there is one: ``:role`` (ours if NULL), the
    log's owner, are we that; may the role use the schema, read the log, write it; is it owner of a table in the schema.

    ``home_schema`` finds the schema that an unqualified ``:name`` means: where the table is, or would be created.
    ``json_is_text``: a JSON value is kept as the text that was sent, so that it may hold whatever a JSON text may;
    ``holds_nul``: so may a text with U+0000.
    """

    name: str
    title: str
    types: Mapping[ColumnType, TypeDefinition]
    defaults: Mapping[str, str]
    has_schemas: bool
    default_schema: str | None
    folds_names: bool
    name_limit: int | None
    begin: tuple[str, ...]
    enter: tuple[str, ...]
    busy_states: frozenset[str]
    busy_texts: frozenset[str]
    raced_states: frozenset[str]
    denied_states: frozenset[str]
    stale_states: frozenset[str]
    stale_texts: frozenset[str]
    writes_in_parallel: bool
    alters_defaults: bool
    estimates_rows: bool
    json_is_text: bool
    holds_nul: bool
    catalogue: str
    named_filter: str
    shape_filter: str
    default_known: str
    detail_default: str
    detail_rows: str
    detail_size: str
    relations_named: str
    schemas: str
    home_schema: str
    server_facts: str = ""
    table_facts: str = ""
    holders: str = ""
    builders: str = ""
    snapshots: str = ""
    blockers: str = ""
    log_access: str = ""
    small_bytes: int | None = None
    hold: tuple[str, ...] = ()
    leave: tuple[str, ...] = ()
    counts_bytes: bool = True
    unsupported_states: frozenset[str] = frozenset()
    lockless_states: frozenset[str] = frozenset()
    transactional_ddl: bool = True
    algorithms: tuple[str, ...] = ()
    scope: Mapping[str, str] = msgspec.field(default_factory=dict)
    read_only: tuple[str, str] = ("", "")
    grant: str = ""
    oldest: Mapping[str, tuple[int, ...]] = msgspec.field(default_factory=dict)
    lenient: str = ""
    narrow_texts: str = ""
    remark: str = ""
    older: tuple[tuple[int, ...], Dialect] | None = None

    def of_version(self, version: tuple[object, ...]) -> Dialect:
        """The record for a server of this version; an empty one is a new one."""
        found = tuple(part for part in version if isinstance(part, int))
        return self.older[1] if self.older is not None and found and found < self.older[0] else self

    def fold(self, name: str) -> str:
        """The name as this database compares it."""
        return name.lower() if self.folds_names else name

    def length(self, name: str) -> int:
        """The length of a name as this database counts it, in bytes or in characters."""
        return len(name.encode()) if self.counts_bytes else len(name)

    def is_of_type(self, live: str, wanted: ColumnType) -> bool:
        """Whether a live type (the database's own text) is of the family of a logical type."""
        return live.split("(", 1)[0].strip().lower() in self.types[wanted].family

    def default_sql(self, default: str | None) -> str | None:
        """The SQL expression of a named default, None where this database leaves it to the client."""
        return self.defaults.get(default) if default is not None else None

    def index_name(self, table: TableName, index: Index, *, attempt: int = 0) -> str:
        """The name that Agno's own release gives to this index; with ``attempt`` > 0 another one, if that is taken."""
        prefix = f"{table.schema.replace('.', '_')}_{table.name}" if table.schema is not None else table.name
        template = index.name or "ix_{prefix}_{columns}"
        name = template.format(prefix=prefix, table=table.name, columns="_".join(index.columns))
        return self._shortened(f"{name}_{attempt}" if attempt else name)

    def _shortened(self, name: str) -> str:
        # The rule is SQLAlchemy's (IdentifierPreparer._truncate_and_render_maxlen_name), which Agno goes by: the
        # first limit - 8 characters and four digits of the MD5. Ours counts bytes, as PostgreSQL does.
        if self.name_limit is None or self.length(name) <= self.name_limit:
            return name
        digest = md5(name.encode(), usedforsecurity=False).hexdigest()
        limit = self.name_limit - 8
        head = name.encode()[:limit].decode(errors="ignore") if self.counts_bytes else name[:limit]
        return f"{head}_{digest[-4:]}"
