"""SQLite 3.26 and later (table-valued pragma functions, JSON)."""

from __future__ import annotations

from storage_admin.dialects.base import Dialect, TypeDefinition
from storage_admin.schema import ColumnType

# The same rows as on PostgreSQL, from sqlite_master and the pragmas as tables. A virtual table and a view have no root
# page, and are not looked into: the module behind the one, the table behind the other may be missing.
CATALOGUE = """
SELECT NULL, m.name, CASE m.type WHEN 'view' THEN 'view' ELSE 'table' END,
       (SELECT group_concat(json_array(c.cid, c.name, c.type,
                                           json(CASE WHEN c."notnull" THEN 'false' ELSE 'true' END), c.dflt_value,
                                           json(CASE WHEN c.hidden > 1 THEN 'true' ELSE 'false' END)))
          FROM pragma_table_xinfo(m.name) c WHERE m.rootpage > 0 AND c.hidden <> 1),
       (SELECT group_concat(k.cid)
          FROM (SELECT c.cid FROM pragma_table_info(m.name) c WHERE m.rootpage > 0 AND c.pk > 0 ORDER BY c.pk) k),
       (SELECT group_concat(json_array(
                   (SELECT json_group_array(k.cid) FROM pragma_index_info(i.name) k),
                   json(CASE WHEN i."unique" THEN 'true' ELSE 'false' END), json('true'),
                   json(CASE WHEN i.partial OR EXISTS (SELECT 1 FROM pragma_index_info(i.name) k WHERE k.cid < 0)
                        THEN 'false' ELSE 'true' END)))
          FROM pragma_index_list(m.name) i WHERE m.rootpage > 0 AND i.origin <> 'pk'),
       (SELECT group_concat(json_quote(i.name))
          FROM pragma_index_list(m.name) i WHERE m.rootpage > 0 AND i.origin <> 'pk'),
       {rows}, {size}
  FROM main.sqlite_master m
 WHERE m.type IN ('table', 'view') AND m.name NOT LIKE 'sqlite~_%' ESCAPE '~'
   AND (m.rootpage > 0 OR m.type = 'view')
   AND (:schema IS NULL OR :schema = 'main')
   AND {filter}
"""

SQLITE = Dialect(
    name="sqlite",
    title="SQLite",
    types={
        # A type is only a hint to SQLite: what counts is that strings stay strings and JSON stays text.
        ColumnType.STRING: TypeDefinition("VARCHAR", frozenset({"varchar", "text", "character varying", "clob"})),
        ColumnType.TEXT: TypeDefinition("TEXT", frozenset({"varchar", "text", "character varying", "clob"})),
        ColumnType.JSON: TypeDefinition("JSON", frozenset({"json", "text", "varchar"})),
        ColumnType.EPOCH: TypeDefinition("INTEGER", frozenset({"integer", "int", "bigint"})),
        ColumnType.INTEGER: TypeDefinition("INTEGER", frozenset({"integer", "int", "bigint"})),
        ColumnType.BOOLEAN: TypeDefinition("BOOLEAN", frozenset({"boolean", "integer"})),
    },
    defaults={},  # Agno fills created_at in Python here
    has_schemas=False,
    default_schema=None,
    folds_names=True,
    name_limit=None,
    begin=("BEGIN IMMEDIATE",),  # a plain BEGIN fails at once, whatever the timeout, when two of them want to write
    enter=("BEGIN IMMEDIATE",),
    busy_states=frozenset(),
    busy_texts=frozenset({"database is locked", "database table is locked"}),
    raced_states=frozenset(),
    denied_states=frozenset(),
    stale_states=frozenset(),
    stale_texts=frozenset({"no such table", "no such column", "has no column named"}),
    writes_in_parallel=False,
    alters_defaults=False,
    estimates_rows=False,  # without ANALYZE there is none; a count goes through the smallest index
    json_is_text=True,
    holds_nul=True,
    catalogue=CATALOGUE,
    named_filter="m.name COLLATE NOCASE IN (SELECT value FROM json_each(:names))",
    shape_filter=(
        "m.rootpage > 0 AND EXISTS (SELECT 1 FROM pragma_table_info(m.name) c"
        " WHERE c.name COLLATE NOCASE IN (SELECT value FROM json_each(:markers)))"
    ),
    default_known="",
    detail_default="",
    detail_rows="NULL",
    detail_size="NULL",  # dbstat, which knows, is missing from most builds of SQLite
    relations_named="SELECT NULL, name FROM main.sqlite_master WHERE name IN (SELECT value FROM json_each(:names))",
    schemas="",
    home_schema="",
)
