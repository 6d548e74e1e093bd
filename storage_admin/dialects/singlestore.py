"""SingleStore, as far as a storage needs it: it speaks MySQL's protocol, and has neither its catalogue nor its DDL.

No command works on it, so that it is not among the databases that storage-admin knows by name.
"""

from __future__ import annotations

from msgspec.structs import replace

from storage_admin.dialects.base import TypeDefinition
from storage_admin.dialects.mysql import MYSQL
from storage_admin.schema import ColumnType

# One row per column. Of the catalogue of MySQL only what Agno asks of it too, and the columns beside.
COLUMNS = """
SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, COLUMN_DEFAULT, COLUMN_KEY
  FROM information_schema.COLUMNS
 WHERE TABLE_SCHEMA = :schema AND TABLE_NAME = :name
 ORDER BY ORDINAL_POSITION
"""

SINGLESTORE = replace(
    MYSQL,
    name="singlestore",
    title="SingleStore",
    types={**MYSQL.types, ColumnType.STRING: TypeDefinition("TEXT", MYSQL.types[ColumnType.STRING].family)},
    defaults={},  # Agno fills created_at in its statements here
    enter=(),
    leave=(),
    lockless_states=frozenset(),
    unsupported_states=frozenset(),
    algorithms=(),
    alters_defaults=False,
    catalogue="",
    scope={},
    schemas="",
    server_facts="",
    holders="",
    read_only=("", ""),
    grant="",
    lenient="",
    narrow_texts="",
    oldest={},
    older=None,
)
