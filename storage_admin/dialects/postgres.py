"""PostgreSQL 12 and later."""

from __future__ import annotations

from storage_admin.dialects.base import Dialect, TypeDefinition
from storage_admin.schema import ColumnType

# One query for a whole database. Types and defaults come as PostgreSQL writes them; indexes name their columns by
# number, and an expression (0) or an INCLUDE column makes one "not plain". The correlated subqueries go through the
# catalogue's own indexes, where joining and grouping would read the catalogue of the whole database; putting JSON
# together by hand takes two thirds of the time that json_agg takes.
CATALOGUE = """
SELECT n.nspname, c.relname,
       CASE WHEN c.relispartition THEN 'partition'
            ELSE CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view'
                                WHEN 'm' THEN 'materialized view' ELSE 'foreign table' END END,
       (SELECT string_agg(concat('[', a.attnum, ',', to_json(a.attname::text), ',',
                                 to_json(format_type(a.atttypid, a.atttypmod)), ',',
                                 CASE WHEN a.attnotnull THEN 'false' ELSE 'true' END, ',',
                                 CASE WHEN a.atthasdef AND a.attgenerated = '' THEN {default} ELSE 'null' END, ',',
                                 CASE WHEN a.attidentity = 'a' OR a.attgenerated <> '' THEN 'true' ELSE 'false' END,
                                 ']'), ',' ORDER BY a.attnum)
          FROM pg_catalog.pg_attribute a
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
       (SELECT replace(i.indkey::text, ' ', ',')
          FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisprimary),
       (SELECT string_agg(concat('[[', replace(i.indkey::text, ' ', ','), '],',
                                 CASE WHEN i.indisunique THEN 'true' ELSE 'false' END, ',',
                                 CASE WHEN i.indisvalid AND i.indisready THEN 'true' ELSE 'false' END, ',',
                                 CASE WHEN i.indpred IS NULL AND i.indexprs IS NULL AND i.indnatts = i.indnkeyatts
                                       AND ic.relam = (SELECT m.oid FROM pg_catalog.pg_am m WHERE m.amname = 'btree')
                                      THEN 'true' ELSE 'false' END,
                                 ']'), ',' ORDER BY i.indexrelid)
          FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
         WHERE i.indrelid = c.oid AND NOT i.indisprimary),
       (SELECT string_agg(to_json(ic.relname::text)::text, ',' ORDER BY i.indexrelid)
          FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
         WHERE i.indrelid = c.oid AND NOT i.indisprimary),
       {rows}, {size}
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't'
   AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
   AND (CAST(:schema AS text) IS NULL OR n.nspname = :schema)
   AND {filter}
"""

DEFAULT_TEXT = """
  (SELECT to_json(pg_get_expr(d.adbin, d.adrelid))::text FROM pg_catalog.pg_attrdef d
    WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum)
"""

POSTGRES = Dialect(
    name="postgresql",
    title="PostgreSQL",
    types={
        ColumnType.STRING: TypeDefinition("VARCHAR", frozenset({"character varying", "varchar", "text"})),
        ColumnType.TEXT: TypeDefinition("TEXT", frozenset({"character varying", "varchar", "text"})),
        ColumnType.JSON: TypeDefinition("JSONB", frozenset({"jsonb"})),
        ColumnType.EPOCH: TypeDefinition("BIGINT", frozenset({"bigint"})),
        ColumnType.INTEGER: TypeDefinition("BIGINT", frozenset({"bigint", "integer"})),
        ColumnType.BOOLEAN: TypeDefinition("BOOLEAN", frozenset({"boolean"})),
    },
    defaults={"now": "(extract(epoch from now()))::bigint"},
    has_schemas=True,
    default_schema="ai",  # the default of agno.storage.postgres.PostgresStorage(schema=...)
    folds_names=False,
    name_limit=63,
    begin=("BEGIN",),
    enter=(
        "SET LOCAL lock_timeout = {lock_timeout}",
        "SET LOCAL statement_timeout = 0",
        "SELECT pg_catalog.pg_try_advisory_xact_lock({key})",
    ),
    busy_states=frozenset({"55P03", "40P01"}),  # lock_not_available, deadlock_detected
    busy_texts=frozenset(),
    raced_states=frozenset({"42701", "42P06", "42P07", "23505"}),  # duplicate column, schema, relation, catalogue row
    stale_states=frozenset({"42P01", "42703", "3F000"}),  # undefined table, undefined column, invalid schema name
    stale_texts=frozenset(),
    alters_defaults=True,
    estimates_rows=True,
    json_is_text=False,
    holds_nul=False,
    catalogue=CATALOGUE,
    named_filter="c.relname = ANY (ARRAY(SELECT json_array_elements_text(CAST(:names AS json)))::name[])",
    shape_filter=(
        "c.oid IN (SELECT a.attrelid FROM pg_catalog.pg_attribute a WHERE NOT a.attisdropped"
        " AND a.attname IN (SELECT json_array_elements_text(CAST(:markers AS json))))"
    ),
    default_known="'\"\"'",
    detail_default=DEFAULT_TEXT,
    detail_rows="CASE WHEN c.reltuples >= 0 THEN c.reltuples::bigint END",
    detail_size="CASE WHEN c.relkind IN ('r', 'm') THEN pg_catalog.pg_total_relation_size(c.oid) END",
    relations_named=(
        "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relname = ANY (ARRAY(SELECT json_array_elements_text(CAST(:names AS json)))::name[])"
    ),
    schemas="SELECT nspname FROM pg_catalog.pg_namespace",
    home_schema=(
        "SELECT coalesce((SELECT n.nspname FROM pg_catalog.pg_class c"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.oid = to_regclass(quote_ident(:name))), current_schema(), 'public')"
    ),
)
