"""What stands beside the shape of a table: what we may do there, how large it is, who else is using it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import text

from storage_admin.changes import CreateSchema
from storage_admin.database import backend_pid
from storage_admin.errors import LargePartitioned, NoRights, ReadOnlyServer, ServerTooOld, UpgradeByHand
from storage_admin.schema import TableName

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import Connection

    from storage_admin.changes import Plan
    from storage_admin.dialects import Dialect

SHOWN = 3
QUERY_SHOWN = 60
SHORT, MINUTE = 10, 60  # seconds
# What a query says in quotes, in a comment or in digits may be content of a session: nothing from there on is shown.
CONTENT = re.compile(r"""['"$`#]|/\*|--|\b[0-9]""")


class Server(msgspec.Struct, frozen=True):
    """The server as this connection finds it. ``pooled``: a connection pooler is in between, as far as can be told."""

    standby: bool
    read_only: bool
    role: str
    session_role: str
    pooled: bool


class TableFacts(msgspec.Struct, frozen=True):
    """One table: the bytes of its rows without their long values, its owner, and what the role of this connection may.

    ``is_member`` of the owner, and perhaps without inheriting its rights; ``owner_may_create`` in the schema.
    ``rows_hidden``: row-level security applies to the role. ``publications`` are names, None where it is in none.
    ``parents`` are the tables that it inherits from.
    """

    bytes: int
    owner: str
    owner_is_superuser: bool
    may_alter: bool
    may_create: bool
    is_member: bool
    owner_may_create: bool
    rows_hidden: bool
    publications: str | None
    parents: tuple[TableName, ...] = ()


class Client(msgspec.Struct, frozen=True):
    """A session of the server that is in the way: since when in its transaction, and its query without literals."""

    pid: int | None
    application: str | None
    role: str | None
    seconds: float | None
    state: str | None
    query: str | None

    def __str__(self) -> str:
        if self.pid is None:
            return "a prepared transaction (see pg_prepared_xacts)"
        facts = [self.application or "", f"role {self.role}" if self.role else "", self.state or ""]
        facts += [f"for {duration(self.seconds)}" if self.seconds is not None else ""]
        facts += [f"query: {shortened(self.query)}" if self.query else ""]
        return f"pid {self.pid} ({', '.join(filter(None, facts))})"


def server_facts(connection: Connection, dialect: Dialect) -> Server | None:
    """What is to be known before the first change; None where the database has no such facts."""
    if not dialect.server_facts:
        return None
    standby, read_only, role, session_role, pid = connection.execute(text(dialect.server_facts)).one()
    return Server(standby, read_only, role, session_role, backend_pid(connection) not in (None, pid))


def product_of(connection: Connection, dialect: Dialect) -> str:
    """The name of the product, which one record may be for several of."""
    return "MariaDB" if getattr(connection.dialect, "is_mariadb", False) else dialect.title


def refuse_old(connection: Connection, dialect: Dialect, database: str) -> None:
    """Refuse a server that is too old to be changed safely; it can be read.

    Raises:
        ServerTooOld
    """
    product = product_of(connection, dialect)
    oldest, found = dialect.oldest.get(product, ()), connection.dialect.server_version_info or ()
    if found < oldest:
        raise ServerTooOld(
            database=database, product=product, version=_dotted(found), oldest=f"{product} {_dotted(oldest)}"
        )


def _dotted(version: tuple[object, ...]) -> str:
    return ".".join(str(part) for part in version[:2])


def refuse_read_only(server: Server | None, dialect: Dialect, database: str) -> None:
    """Refuse a server that takes no changes, before anything is sent.

    Raises:
        ReadOnlyServer
    """
    if server is None or not (server.standby or server.read_only):
        return
    if server.standby:
        problem, advice = (
            "it is a hot standby, which copies a primary and takes no changes",
            "Connect to the primary; with several hosts in the URL, target_session_attrs=read-write finds it.",
        )
    else:
        problem, advice = dialect.read_only
    raise ReadOnlyServer(database=database, problem=problem, advice=advice)


def table_facts(connection: Connection, dialect: Dialect, names: Collection[str]) -> dict[TableName, TableFacts]:
    """The facts of all tables of these names, in any schema; empty where the database has none."""
    if not dialect.table_facts or not names:
        return {}
    rows = connection.execute(text(dialect.table_facts), {"names": json.dumps(sorted(names))})
    return dict(_facts(row) for row in rows)


def _facts(row: Sequence[Any]) -> tuple[TableName, TableFacts]:
    schema, name, *facts, parents = row
    facts.append(tuple(TableName(*parent) for parent in json.loads(parents or "[]")))
    return TableName(schema, name), TableFacts(*facts)


def is_lenient(connection: Connection, dialect: Dialect) -> bool:
    """Whether the server stores in silence what is not what was sent."""
    return bool(dialect.lenient and connection.scalar(text(dialect.lenient)))


def narrow_texts(
    connection: Connection, dialect: Dialect, tables: Collection[TableName]
) -> dict[str, tuple[TableName, ...]]:
    """The tables with texts in a character set that lacks some characters, by character set."""
    found: dict[str, tuple[TableName, ...]] = {}
    if dialect.narrow_texts and tables:
        names = json.dumps(sorted({table.name for table in tables}), ensure_ascii=False)
        for schema, name, character_set in connection.execute(text(dialect.narrow_texts), {"names": names}):
            if (table := TableName(schema, name)) in tables:
                found[character_set] = (*found.get(character_set, ()), table)
    return found


def refuse_without_rights(plan: Plan, facts: TableFacts | None, server: Server | None, dialect: Dialect) -> None:
    """Refuse what the server would refuse, before anything is sent, with what the owner has to run.

    Raises:
        NoRights
    """
    if facts is None or server is None or (facts.may_alter and (facts.may_create or not plan.builds)):
        return
    problem = "it is no member of that role" if not facts.may_alter else "it may not create an index in the schema"
    raise no_rights(plan, dialect, server.role, facts, problem)


def no_rights(plan: Plan, dialect: Dialect, role: str, facts: TableFacts | None, problem: str) -> NoRights:
    """The error for a role that may not do what a plan asks for: who may, the exact SQL, and the rights to give."""
    from storage_admin.render import grants, script

    owner = facts.owner if facts is not None else None
    foreign = facts is not None and not facts.may_alter
    takes_over = foreign and facts is not None and facts.owner_is_superuser
    member_of = owner if foreign and not takes_over else None
    creates = facts is None or not (facts.owner_may_create if member_of else facts.may_create)
    if any(isinstance(change, CreateSchema) for change in plan.changes):
        creates = False  # in a schema that is not there
    given = grants(dialect, plan.table, role=role, owner=member_of, create=creates, takes_over=takes_over)
    if member_of and facts is not None and facts.is_member:
        given = given[1:]
    belongs = ", a table to be created," if plan.live is None else f", which belongs to {owner}," if owner else ""
    body = script([plan], dialect, "for the owner").partition("\n\n")[2]
    return NoRights(
        table=str(plan.table),
        role=role,
        belongs=belongs,
        problem=problem.partition(" for table ")[0],  # which is named already
        owner=owner or "whoever owns the database",
        sql="".join(f"\n  {line}" for line in body.splitlines()),
        how=_how(given, member_of),
        grants=given,
    )


def _how(given: Sequence[str], member_of: str | None) -> str:
    """How a role gets on that was given rights, or that only has to take on the role of which it is a member."""
    option = f" with --role {member_of}" if member_of else ""
    if not given:
        return f"Or run it again{option}." if option else ""
    return f"Or give the right, and run it again{option}:"


def upgrade_by_hand(plan: Plan, dialect: Dialect, kind: str) -> UpgradeByHand:
    """The error for a table that lacks something, of a database on which nothing is changed: the statements to run."""
    from storage_admin.render import render

    sql = "".join(f"\n  {statement};" for statement in render(plan, dialect))
    missing = ", ".join(map(str, plan.changes))
    return UpgradeByHand(table=str(plan.table), kind=kind, missing=missing, title=dialect.title, sql=sql)


def large_partitioned(plan: Plan, facts: TableFacts, dialect: Dialect) -> LargePartitioned:
    """The error for indexes that a large partitioned table lacks: no server builds those while others write."""
    from storage_admin.render import render_changes

    sql = "".join(f"\n  {statement};" for statement in render_changes(plan.table, plan.deferred, dialect))
    return LargePartitioned(table=str(plan.table), size=f"{facts.bytes / 2**20:,.0f} MB", sql=sql)


def holders(connection: Connection, dialect: Dialect, table: TableName, key: int) -> tuple[Client, ...]:
    """Who holds a lock on a table, or our lock of this key, the longest first."""
    return _clients(connection, dialect.holders, schema=table.schema, name=table.name, key=key)


def builders(connection: Connection, dialect: Dialect, table: TableName) -> tuple[Client, ...]:
    """Who is building an index on a table at this moment."""
    return _clients(connection, dialect.builders, schema=table.schema, name=table.name)


def snapshots(connection: Connection, dialect: Dialect) -> tuple[Client, ...]:
    """Whose transactions an index build would wait for, the oldest first."""
    return _clients(connection, dialect.snapshots)


def blockers(connection: Connection, dialect: Dialect, pid: int) -> tuple[Client, ...]:
    """For whom the session of a number waits at this moment, the longest first."""
    return _clients(connection, dialect.blockers, pid=pid)


def _clients(connection: Connection, query: str, **parameters: Any) -> tuple[Client, ...]:
    return tuple(Client(*row) for row in connection.execute(text(query), parameters)) if query else ()


def listed(clients: Collection[Client]) -> str:
    """Some sessions in words, at most three of them."""
    shown = [str(client) for client in clients][:SHOWN]
    return "; ".join(shown) + (f"; and {len(clients) - SHOWN} more" if len(clients) > SHOWN else "")


def shortened(query: str) -> str:
    """The beginning of a query, on one line, as far as it can hold nothing that is stored."""
    beginning = CONTENT.split(query, maxsplit=1)[0]
    line = " ".join(beginning.split())[:QUERY_SHOWN].rstrip()
    return f"{line}..." if len(line) < len(query.strip()) else line


def duration(seconds: float) -> str:
    """``0.3 s``, ``12 s``, ``3 min``, ``2 h``."""
    if seconds < MINUTE:
        return f"{seconds:.1f} s" if seconds < SHORT else f"{seconds:.0f} s"
    return f"{seconds / MINUTE:.0f} min" if seconds < MINUTE * MINUTE else f"{seconds / MINUTE / MINUTE:.0f} h"
