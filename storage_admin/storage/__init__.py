"""The drop-in storage classes: what an application on Agno 1.x puts in place of Agno's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage_admin.lazy import lazily

if TYPE_CHECKING:
    from storage_admin.storage.mysql import MySQLStorage
    from storage_admin.storage.postgres import PostgresStorage
    from storage_admin.storage.singlestore import SingleStoreStorage
    from storage_admin.storage.sqlite import SqliteStorage

__all__ = ["MySQLStorage", "PostgresStorage", "SingleStoreStorage", "SqliteStorage"]

# The commands take what a session is from this package, and no class with its dialect.
_HOMES = {
    "mysql": ("MySQLStorage",),
    "postgres": ("PostgresStorage",),
    "singlestore": ("SingleStoreStorage",),
    "sqlite": ("SqliteStorage",),
}

__getattr__ = lazily(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
