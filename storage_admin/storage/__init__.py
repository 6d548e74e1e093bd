"""The drop-in storage classes: what an application on Agno 1.x puts in place of Agno's own."""

from __future__ import annotations

from storage_admin.storage.mysql import MySQLStorage
from storage_admin.storage.postgres import PostgresStorage
from storage_admin.storage.singlestore import SingleStoreStorage
from storage_admin.storage.sqlite import SqliteStorage

__all__ = ["MySQLStorage", "PostgresStorage", "SingleStoreStorage", "SqliteStorage"]
