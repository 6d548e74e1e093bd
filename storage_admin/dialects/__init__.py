"""The databases that storage-admin knows, one record each."""

from __future__ import annotations

from storage_admin.dialects.base import Dialect, TypeDefinition
from storage_admin.dialects.mysql import MYSQL
from storage_admin.dialects.postgres import POSTGRES
from storage_admin.dialects.singlestore import SINGLESTORE
from storage_admin.dialects.sqlite import SQLITE
from storage_admin.errors import UnsupportedDatabase

DIALECTS = {dialect.name: dialect for dialect in (POSTGRES, SQLITE, MYSQL)}

__all__ = ["DIALECTS", "MYSQL", "POSTGRES", "SINGLESTORE", "SQLITE", "Dialect", "TypeDefinition", "dialect_named"]


def dialect_named(name: str) -> Dialect:
    """The dialect of this name (``postgresql``, ``sqlite``), perhaps with a version (``mysql-5.7``).

    Raises:
        UnsupportedDatabase: there is no record for it.
    """
    product, _, version = name.partition("-")
    try:
        found = DIALECTS[{"postgres": "postgresql", "sqlite3": "sqlite", "mariadb": "mysql"}.get(product, product)]
        return found.of_version(tuple(map(int, version.split("."))) if version else ())
    except (KeyError, ValueError):
        raise UnsupportedDatabase(name=name, supported=", ".join(DIALECTS)) from None
