"""storage-admin: the schema of Agno's session tables, versioned, compared and upgraded without losing a word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage_admin.lazy import lazily
from storage_admin.version import __version__

if TYPE_CHECKING:
    from storage_admin.admin import StorageAdmin
    from storage_admin.catalog import Catalog, load_catalog
    from storage_admin.changes import Plan, Status
    from storage_admin.doctor import Diagnosis, Finding
    from storage_admin.errors import SchemaOutdated, SessionOwnedByAnother, StorageAdminError, UpgradeFailed
    from storage_admin.history import Revision
    from storage_admin.integrations.agno import upgrade_schema
    from storage_admin.locking import Patience
    from storage_admin.naming import TableRef
    from storage_admin.reports import DatabaseInfo, Outcome, Survey, UpgradeReport
    from storage_admin.storage import MySQLStorage, PostgresStorage, SingleStoreStorage, SqliteStorage

__all__ = [
    "Catalog",
    "DatabaseInfo",
    "Diagnosis",
    "Finding",
    "MySQLStorage",
    "Outcome",
    "Patience",
    "Plan",
    "PostgresStorage",
    "Revision",
    "SchemaOutdated",
    "SessionOwnedByAnother",
    "SingleStoreStorage",
    "SqliteStorage",
    "Status",
    "StorageAdmin",
    "StorageAdminError",
    "Survey",
    "TableRef",
    "UpgradeFailed",
    "UpgradeReport",
    "__version__",
    "load_catalog",
    "upgrade_schema",
]

# The command line imports this package before it knows what to do; `--help` must not pay for SQLAlchemy.
_HOMES = {
    "admin": ("StorageAdmin",),
    "catalog": ("Catalog", "load_catalog"),
    "changes": ("Plan", "Status"),
    "doctor": ("Diagnosis", "Finding"),
    "errors": ("SchemaOutdated", "SessionOwnedByAnother", "StorageAdminError", "UpgradeFailed"),
    "history": ("Revision",),
    "integrations.agno": ("upgrade_schema",),
    "locking": ("Patience",),
    "naming": ("TableRef",),
    "reports": ("DatabaseInfo", "Outcome", "Survey", "UpgradeReport"),
    "storage": ("MySQLStorage", "PostgresStorage", "SingleStoreStorage", "SqliteStorage"),
}

__getattr__ = lazily(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
