"""Agno's own storage objects, upgraded correctly, for an application that cannot change its import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine

from storage_admin.catalog import load_catalog
from storage_admin.database import dialect_of, translated_schema
from storage_admin.dialects import SINGLESTORE
from storage_admin.errors import NotAStorage
from storage_admin.naming import TableRef
from storage_admin.storage.base import SqlStorage
from storage_admin.storage.gate import Gate
from storage_admin.storage.singlestore_gate import SingleStoreGate

if TYPE_CHECKING:
    from storage_admin.locking import Patience
    from storage_admin.reports import Outcome


def upgrade_schema(storage: Any, *, kind: str | None = None, patience: Patience | None = None) -> Outcome:
    """Upgrade the table of a storage object, or create it; return what was done.

    ``storage`` is one of ours, or one of Agno's on a SQL database (``agent.storage``, agno 1.0 to 1.8). It is upgraded
    for the kinds that the table holds, for the mode of the storage, and for every kind whose columns its statements
    name: a storage of Agno that was built without a mode goes on naming an agent's columns when a team uses it.
    ``kind`` names one more: a workflow tells its storage what it is not before its first run. ``patience`` is for
    Agno's; ours have their own.

    Raises:
        NotAStorage: it has no table. UnsupportedDatabase, UnknownKind. And as `StorageAdmin.upgrade`, with the error
        of the table itself in place of UpgradeFailed.
    """
    if isinstance(storage, SqlStorage):
        return storage.upgrade_schema(kind)
    engine, name = getattr(storage, "db_engine", None), getattr(storage, "table_name", None)
    if not isinstance(engine, Engine) or not isinstance(name, str):
        advice = "Give its .storage." if getattr(storage, "storage", None) is not None else ""
        raise NotAStorage(found=type(storage).__name__, advice=advice)
    ref = TableRef(name, translated_schema(engine, getattr(storage, "schema", None)))
    # The name of the module is all that tells a SingleStore from a MySQL without a question to the server.
    other = type(storage).__module__.endswith(".singlestore")
    made, dialect = (SingleStoreGate, SINGLESTORE) if other else (Gate, dialect_of(engine))
    gate = made(engine, dialect, ref, url=None, upgrades=True, patience=patience)
    return gate.upgrade(_kinds(storage, kind))


def _kinds(storage: Any, kind: str | None) -> tuple[str, ...]:
    catalog = load_catalog()
    named = set(storage.table.columns.keys())
    kinds = [
        kind for kind in catalog.kinds if any(schema.column_names <= named for _, schema in catalog.definitions(kind))
    ]
    mode = getattr(storage, "mode", None)  # the classes before agno 1.1.11 have none, and one kind each
    return tuple(dict.fromkeys([*kinds, *(catalog.known_kind(known) for known in (mode, kind) if known)]))
