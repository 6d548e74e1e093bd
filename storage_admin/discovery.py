"""Which tables are meant: found by their shape, or named; and the plan of each. Reads, never locks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import exc

from storage_admin import access, history, inspector
from storage_admin.changes import AddColumn, CreateIndex, Plan
from storage_admin.compare import NAMES_TRIED, Identity, compare, identify, plan_new, with_named
from storage_admin.errors import (
    AmbiguousTable,
    BadTableName,
    InheritedTable,
    KindNeeded,
    NoSuchTable,
    NoTablesFound,
    NotASessionTable,
    NotATable,
    TableGone,
)
from storage_admin.messages import driver_message
from storage_admin.naming import argument
from storage_admin.notes import near_miss, plan_notes, publication_notes, text_notes
from storage_admin.schema import Relation, TableName, quoted
from storage_admin.texts import meant_text

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from sqlalchemy import Connection

    from storage_admin.access import TableFacts
    from storage_admin.catalog import Catalog
    from storage_admin.dialects import Dialect
    from storage_admin.naming import TableRef
    from storage_admin.schema import LiveTable

    Chosen = dict[TableName, tuple[LiveTable | None, tuple[str, ...]]]
    Planner = Callable[[TableName, LiveTable | None, tuple[str, ...], Collection[TableName]], Plan]

SHOWN = 3
BY_SHAPE = "going by the shapes alone, so a table that a newer storage-admin upgraded is not told from others"


class Finder:
    """One look at one database. ``shown`` is how its URL is named in messages.

    On a table of more than ``index_limit`` rows index builds are moved from the changes of a plan to what is deferred.
    With ``only_indexes`` a plan has no other changes, and no table is created. ``measure`` asks for the size of a table
    that has something pending, which waits for whoever holds it exclusively. ``careful``: in a transaction, which must
    not meet an error; a log that may not be read is passed over in silence.
    """

    def __init__(
        self,
        connection: Connection,
        dialect: Dialect,
        catalog: Catalog,
        schema: str | None,
        shown: str,
        *,
        index_limit: int | None = None,
        only_indexes: bool = False,
        measure: bool = True,
        careful: bool = False,
    ) -> None:
        self.connection = connection
        self.dialect = dialect.of_version(connection.dialect.server_version_info or ())
        self.catalog = catalog
        self.schema = schema
        self.shown = shown
        self.index_limit = index_limit
        self.only_indexes = only_indexes
        self.measure = measure
        self.careful = careful
        self.notes: list[str] = []
        self.facts: dict[TableName, TableFacts] = {}
        self._taken: frozenset[TableName] | None = None
        self._again: set[TableName] = set()
        self._large: dict[TableName, bool] = {}

    def twin(self, connection: Connection) -> Finder:
        """The same look on another connection, with what is known already."""
        twin = Finder(connection, self.dialect, self.catalog, self.schema, self.shown, index_limit=self.index_limit)
        twin.only_indexes, twin.measure = self.only_indexes, self.measure
        twin.facts, twin._large, twin._taken = self.facts, self._large, self._taken
        return twin

    def survey(
        self, refs: Sequence[TableRef] | None, *, to: int | None = None, details: bool = False
    ) -> tuple[tuple[Plan, ...], tuple[str, ...]]:
        """The plans of the named tables, or, with None, of all that are found, and notes about them.

        Raises:
            NoTablesFound, NoSuchTable, NotATable, NotASessionTable, KindNeeded, AmbiguousTable, UnknownVersion
        """
        to = self.catalog.head if to is None else self.catalog.version(to).number
        everything = refs is None
        names = {ref.name for ref in refs or ()} | {history.REVISIONS}
        # A named table may have a schema of its own; --schema is only where to look for the others.
        found = self._find(names, self.schema if everything else None, by_shape=everything, details=details)
        logs = [live.name.schema for live in found if live.name.name == history.REVISIONS]
        found = [live for live in found if live.name.name != history.REVISIONS]
        recorded = self._recorded(logs)
        chosen = self._discovered(found) if refs is None else self._named(refs, found)
        make = self._planner(recorded, to)
        plans = tuple(make(name, live, kinds, ()) for name, (live, kinds) in chosen.items())
        self._taken = self._names_gone(plans)
        self._again.clear()
        plans = self._with_free_names(plans, make, self._taken)
        self.notes += publication_notes(plans, self.facts)
        self.notes += text_notes(self.connection, self.dialect, plans) if details else ()
        self.notes += plan_notes(plans, self.catalog, self.dialect, details=details)
        return plans, tuple(self.notes)

    def again(self, plan: Plan) -> Plan:
        """Look at the table of a plan once more, and plan its way to the same version.

        Raises:
            TableGone: somebody dropped it meanwhile.
        """
        found = inspector.find_tables(self.connection, self.dialect, names=[plan.table.name], schema=plan.table.schema)
        live = next((live for live in found if live.name == plan.table), None)
        if live is None and plan.live is not None:
            raise TableGone(table=str(plan.table))
        kinds = with_named(self._identity(live), plan.kinds, self.catalog) if live is not None else plan.kinds
        recorded = {plan.table: plan.recorded} if plan.recorded is not None else {}
        make = self._planner(recorded, plan.target_version)
        # The first time the names that were gone a moment ago will do: if one is gone since, the server says so.
        names = self._taken if plan.table not in self._again else None
        self._again.add(plan.table)
        return self._with_free_names((make(plan.table, live, kinds, ()),), make, names)[0]

    def glance(self, ref: TableRef) -> Plan | None:
        """The plan of one named table, to the head, without the log: one query where it is current.

        None where there is no such table, or where neither its shape nor the reference says which kind it holds.

        Raises:
            AmbiguousTable, NotATable, NotASessionTable
        """
        found = self._find([ref.name], ref.schema)
        try:
            name, live, kinds = self._resolve(ref, found)
        except (KindNeeded, NoSuchTable):
            return None
        if live is None:
            return None
        make = self._planner({}, self.catalog.head)
        return self._with_free_names((make(name, live, kinds, ()),), make)[0]

    def parents_first(self, plans: Iterable[Plan]) -> list[Plan]:
        """The plans in an order in which a table that others inherit from comes before them."""
        depths: dict[TableName, int] = {}

        def depth(table: TableName) -> int:
            if table not in depths:
                parents = self.facts[table].parents if table in self.facts else ()
                depths[table] = 1 + max(map(depth, parents), default=0)
            return depths[table]

        return sorted(plans, key=lambda plan: depth(plan.table))

    def refuse_before_its_parents(self, plan: Plan, parents: Iterable[TableName]) -> None:
        """Refuse to add a column to a table that should inherit it.

        Raises:
            InheritedTable: a session table that this one inherits from lacks a column too.
        """
        wanted = {change.column.name for change in plan.changes if isinstance(change, AddColumn)}
        for parent in parents:
            found = inspector.find_tables(self.connection, self.dialect, names=[parent.name], schema=parent.schema)
            for live in found:
                has = {column.name for column in live.shape.columns}
                if live.name == parent and self._identity(live).kinds and wanted - has:
                    raise InheritedTable(table=str(plan.table), parent=str(parent))

    def log_schemas(self) -> tuple[str | None, ...]:
        """The schemas that hold a log of revisions."""
        return tuple(live.name.schema for live in self._find({history.REVISIONS}, self.schema))

    def names(self, ref: TableRef, table: TableName) -> bool:
        """Whether a reference means this table."""
        schema = ref.schema or self.schema if self.dialect.has_schemas else None
        return self.dialect.fold(ref.name) == self.dialect.fold(table.name) and schema in (None, table.schema)

    # --- finding -------------------------------------------------------------------------------------------

    def _find(
        self, names: Collection[str], schema: str | None, *, by_shape: bool = False, details: bool = False
    ) -> list[LiveTable]:
        markers = self.catalog.markers if by_shape else ()
        found = inspector.find_tables(
            self.connection, self.dialect, markers=markers, names=names, schema=schema, details=details
        )
        return list(found)

    def _recorded(self, schemas: Collection[str | None]) -> dict[TableName, int]:
        try:
            return history.recorded_versions(self.connection, self._readable(schemas) if self.careful else schemas)
        except (exc.ProgrammingError, exc.OperationalError) as error:
            if error.connection_invalidated:
                raise
            if not self.careful and len(readable := self._readable(schemas)) < len(schemas):
                return self._recorded(readable)
            # A log that we may not read, or that is somebody else's table: we go by the shape, as everywhere else.
            self.notes.append(f"{history.REVISIONS} cannot be read ({driver_message(error)}); {BY_SHAPE}")
            return {}

    def _readable(self, schemas: Collection[str | None]) -> list[str | None]:
        """The schemas whose log we may read; what we lack for the others is a note."""
        found = {schema: history.access(self.connection, self.dialect, schema) for schema in schemas}
        denied = {schema: access for schema, access in found.items() if access is not None and not access.reads}
        if not self.careful:
            self.notes += [
                f"{access.log} cannot be read by {access.role}; {BY_SHAPE}; {history.advice(self.connection, access)}"
                for access in denied.values()
            ]
        return [schema for schema in schemas if schema not in denied]

    def _discovered(self, found: Iterable[LiveTable]) -> Chosen:
        chosen: Chosen = {}
        for live in found:
            if not live.relation.upgradable:
                continue
            identity = self._identity(live)
            if identity.kinds:
                chosen[live.name] = (live, identity.kinds)
            elif identity.resemblance and identity.resemblance.near:
                self.notes.append(near_miss(live.name, identity.resemblance))
        if not chosen:
            where = f", schema {self.schema}" if self.schema else ""
            hint = "".join(f" {note}." for note in self.notes)
            raise NoTablesFound(database=self.shown, where=where, hint=hint)
        return chosen

    def _named(self, refs: Iterable[TableRef], found: Sequence[LiveTable]) -> Chosen:
        merged: dict[TableName, TableRef] = {}
        for ref in refs:
            check_schema(ref, self.dialect)
            if self.dialect.fold(ref.name) == history.REVISIONS:
                raise BadTableName(
                    text=str(ref), problem="that is our own log of upgrades; `storage-admin history` shows it"
                )
            name = next((live.name for live in found if self.names(ref, live.name)), None) or self._new_name(ref)
            known = merged.get(name, ref)
            merged[name] = msgspec.structs.replace(ref, kinds=tuple(dict.fromkeys((*known.kinds, *ref.kinds))))
        return {name: (live, kinds) for name, live, kinds in (self._resolve(ref, found) for ref in merged.values())}

    def _resolve(
        self, ref: TableRef, found: Iterable[LiveTable]
    ) -> tuple[TableName, LiveTable | None, tuple[str, ...]]:
        same_name = [live for live in found if self.names(ref, live.name)]
        sessions = [live for live in same_name if live.relation.upgradable and self._identity(live).kinds]
        if len(sessions) > 1 or (len(same_name) > 1 and not sessions):
            names = [str(live.name) for live in sessions or same_name]
            raise AmbiguousTable(name=ref, candidates=", ".join(names), example=names[0])
        if not same_name:
            return self._missing(ref), None, ref.kinds
        live = (sessions or same_name)[0]
        if not live.relation.upgradable:
            raise NotATable(database=self.shown, table=live.name, relation=live.relation.value, advice=_advice(live))
        return live.name, live, self._kinds(ref, live)

    def _identity(self, live: LiveTable) -> Identity:
        return identify(live.shape, self.catalog, self.dialect)

    def _kinds(self, ref: TableRef, live: LiveTable) -> tuple[str, ...]:
        identity = self._identity(live)
        if identity.kinds:
            kinds = with_named(identity, ref.kinds, self.catalog)
            if added := [kind for kind in kinds if kind not in identity.kinds]:
                held = " and ".join(identity.kinds)
                self.notes.append(f"{live.name} holds {held}; {' and '.join(added)} is added because you named it")
            return kinds
        like = identity.resemblance
        if like is None or not like.near:
            missing = ", ".join(like.missing[:SHOWN]) if like else "everything"
            more = f" and {len(like.missing) - SHOWN} more" if like and len(like.missing) > SHOWN else ""
            raise NotASessionTable(table=live.name, kind=like.kind if like else "any kind", missing=missing + more)
        if not ref.kinds:
            reason = f"has all columns of {like.kind} in version {like.version} but {like.missing[0]}"
            raise KindNeeded(table=str(live.name), reason=reason, kinds=like.kind)
        return ref.kinds

    def _new_name(self, ref: TableRef) -> TableName:
        schemas = self.dialect.has_schemas
        return TableName((ref.schema or self.schema or self.dialect.default_schema) if schemas else None, ref.name)

    def _missing(self, ref: TableRef) -> TableName:
        name = self._new_name(ref)
        if not ref.kinds or self.only_indexes:
            typed, suggestion = argument(ref, *(ref.kinds or ("KIND",))), self._suggestion(ref)
            raise NoSuchTable(database=self.shown, table=ref, argument=typed, suggestion=suggestion)
        return name

    def _suggestion(self, ref: TableRef) -> str:
        import difflib

        tables = [live.name for live in self._find((), None, by_shape=True) if self._identity(live).kinds]
        same = [str(table) for table in tables if self.dialect.fold(table.name) == self.dialect.fold(ref.name)]
        if same:
            return meant_text(same)
        names = {table.name: str(table) for table in tables}  # a schema that is the same makes no name alike
        close = difflib.get_close_matches(ref.name, names, n=1)
        return meant_text([names[name] for name in close])

    # --- planning ------------------------------------------------------------------------------------------

    def _planner(self, recorded: dict[TableName, int], to: int) -> Planner:
        def make(name: TableName, live: LiveTable | None, kinds: tuple[str, ...], taken: Collection[TableName]) -> Plan:
            if live is not None:
                return compare(live, kinds, self.catalog, self.dialect, to=to, recorded=recorded.get(name), taken=taken)
            schemas = inspector.existing_schemas(self.connection, self.dialect)
            absent = name.schema is not None and name.schema not in schemas
            return plan_new(name, kinds, self.catalog, self.dialect, to=to, create_schema=absent, taken=taken)

        return make

    def _names_gone(self, plans: Iterable[Plan]) -> frozenset[TableName]:
        # Only who is about to create an index has to know.
        wanted = {
            self.dialect.index_name(plan.table, change.index, attempt=attempt)
            for plan in plans
            for change in plan.changes
            if isinstance(change, CreateIndex)
            for attempt in range(NAMES_TRIED)
        }
        return inspector.existing_names(self.connection, self.dialect, wanted) if wanted else frozenset()

    def _with_free_names(
        self, plans: tuple[Plan, ...], make: Planner, taken: frozenset[TableName] | None = None
    ) -> tuple[Plan, ...]:
        taken = self._names_gone(plans) if taken is None else taken
        if taken:
            plans = tuple(make(p.table, p.live, p.kinds, taken) if p.changes else p for p in plans)
        if self.only_indexes:
            plans = tuple(plan.only_builds() if plan.changes else plan for plan in plans)
        self._learn(plan.table for plan in plans if plan.runnable and plan.live is not None)
        return tuple(map(self._with_builds_in_their_place, plans))

    def _learn(self, tables: Iterable[TableName]) -> None:
        if not self.measure:
            return
        # Asked once: between a first look and a second one the answer must not change.
        unknown = {table for table in tables if table not in self.facts}
        found = access.table_facts(self.connection, self.dialect, {table.name for table in unknown})
        self.facts.update({table: found[table] for table in unknown if table in found})

    def _with_builds_in_their_place(self, plan: Plan) -> Plan:
        """In the transaction for a small table, after it for a large one, or left for later."""
        if not plan.builds or plan.live is None:
            return plan
        if self.index_limit is not None and self._is_large(plan.table):
            return plan.without_builds()
        facts, small = self.facts.get(plan.table), self.dialect.small_bytes
        if facts is None or small is None or facts.bytes <= small:
            return plan
        partitioned = plan.live.relation is Relation.PARTITIONED_TABLE
        return plan.without_builds() if partitioned else plan.building_concurrently()

    def _is_large(self, table: TableName) -> bool:
        if table not in self._large:
            limit, facts = self.index_limit or 0, self.facts.get(table)
            if facts is not None and facts.rows_hidden:  # what we would count is not what is there
                self._large[table] = facts.bytes > (self.dialect.small_bytes or 0)
            else:
                self._large[table] = inspector.holds_more_than(self.connection, self.dialect, table, limit)
        return self._large[table]


def check_schema(ref: TableRef, dialect: Dialect) -> None:
    """Refuse a schema where there are none.

    Raises:
        BadTableName
    """
    if ref.schema not in (None, "main") and not dialect.has_schemas:
        problem = f"{dialect.title} has no schemas; a name with a dot is written '{quoted(str(ref))}'"
        raise BadTableName(text=str(ref), problem=problem)


def _advice(live: LiveTable) -> str:
    return " Upgrade the partitioned table that it belongs to." if live.relation.value == "partition" else ""
