"""PostgreSQL 12 and later."""

from __future__ import annotations

from storage_admin.dialects.base import Dialect, TypeDefinition
from storage_admin.schema import ColumnType

# One query for a whole database. Types and defaults come as PostgreSQL writes them; indexes name their columns by
# number, and an expression (0) or an INCLUDE column makes one "not plain". The correlated subqueries go through the
# catalogue's own indexes, where joining and grouping would read the catalogue of the whole database; putting JSON
# together by hand takes two thirds of the time that json_agg takes. Functions and relations are named with their
# schema, since a search_path may put somebody else's before them.
CATALOGUE = """
SELECT n.nspname, c.relname,
       CASE WHEN c.relispartition THEN 'partition'
            ELSE CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view'
                                WHEN 'm' THEN 'materialized view' ELSE 'foreign table' END END,
       (SELECT pg_catalog.string_agg(pg_catalog.concat('[', a.attnum, ',',
                                 pg_catalog.to_json(a.attname::text), ',',
                                 pg_catalog.to_json(pg_catalog.format_type(a.atttypid, a.atttypmod)), ',',
                                 CASE WHEN a.attnotnull THEN 'false' ELSE 'true' END, ',',
                                 CASE WHEN a.atthasdef AND a.attgenerated = '' THEN {default} ELSE 'null' END, ',',
                                 CASE WHEN a.attidentity = 'a' OR a.attgenerated <> '' THEN 'true' ELSE 'false' END,
                                 ']'), ',' ORDER BY a.attnum)
          FROM pg_catalog.pg_attribute a
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
       (SELECT pg_catalog.replace(i.indkey::text, ' ', ',')
          FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisprimary),
       (SELECT pg_catalog.string_agg(pg_catalog.concat('[[', pg_catalog.replace(i.indkey::text, ' ', ','), '],',
                                 CASE WHEN i.indisunique THEN 'true' ELSE 'false' END, ',',
                                 CASE WHEN i.indisvalid AND i.indisready THEN 'true' ELSE 'false' END, ',',
                                 CASE WHEN i.indpred IS NULL AND i.indexprs IS NULL AND i.indnatts = i.indnkeyatts
                                       AND ic.relam = (SELECT m.oid FROM pg_catalog.pg_am m WHERE m.amname = 'btree')
                                      THEN 'true' ELSE 'false' END,
                                 ']'), ',' ORDER BY i.indexrelid)
          FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
         WHERE i.indrelid = c.oid AND NOT i.indisprimary),
       (SELECT pg_catalog.string_agg(pg_catalog.to_json(ic.relname::text)::text, ',' ORDER BY i.indexrelid)
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
  (SELECT pg_catalog.to_json(pg_catalog.pg_get_expr(d.adbin, d.adrelid))::text FROM pg_catalog.pg_attrdef d
    WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum)
"""

# What stands beside the shape of a table: of these columns `upgrade` alone has need, and only where it has work to do.
TABLE_FACTS = """
SELECT n.nspname, c.relname,
       CASE WHEN c.relkind = 'p' THEN (SELECT pg_catalog.sum(pg_catalog.pg_relation_size(t.relid))
                                         FROM pg_catalog.pg_partition_tree(c.oid) t)
            ELSE pg_catalog.pg_relation_size(c.oid) END::bigint,
       r.rolname, r.rolsuper, pg_catalog.pg_has_role(r.oid, 'USAGE'), pg_catalog.has_schema_privilege(n.oid, 'CREATE'),
       pg_catalog.pg_has_role(r.oid, 'MEMBER'),
       pg_catalog.has_schema_privilege(r.oid, n.oid, 'CREATE')
         AND pg_catalog.has_schema_privilege(r.oid, n.oid, 'USAGE'),
       pg_catalog.row_security_active(c.oid), p.names,
       (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(pn.nspname, pc.relname) ORDER BY h.inhseqno)::text
          FROM pg_catalog.pg_inherits h JOIN pg_catalog.pg_class pc ON pc.oid = h.inhparent
          JOIN pg_catalog.pg_namespace pn ON pn.oid = pc.relnamespace
         WHERE h.inhrelid = c.oid)
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_roles r ON r.oid = c.relowner
  LEFT JOIN (SELECT schemaname, tablename, pg_catalog.string_agg(pubname, ', ' ORDER BY pubname) AS names
               FROM pg_catalog.pg_publication_tables GROUP BY schemaname, tablename) p
    ON p.schemaname = n.nspname AND p.tablename = c.relname
 WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
   AND c.relname = ANY (ARRAY(SELECT pg_catalog.json_array_elements_text(CAST(:names AS json)))::name[])
"""

LOG_ACCESS = """
SELECT g.role, r.rolname, pg_catalog.pg_has_role(r.oid, 'USAGE'),
       pg_catalog.has_schema_privilege(g.role, n.oid, 'USAGE'),
       pg_catalog.has_table_privilege(g.role, c.oid, 'SELECT'),
       pg_catalog.has_table_privilege(g.role, c.oid, 'INSERT')
         AND pg_catalog.has_table_privilege(g.role, c.oid, 'UPDATE'),
       EXISTS (SELECT FROM pg_catalog.pg_class t WHERE t.relnamespace = n.oid AND t.relkind IN ('r', 'p')
                  AND t.oid <> c.oid AND pg_catalog.pg_has_role(g.role, t.relowner, 'USAGE'))
  FROM (SELECT coalesce(CAST(:role AS name), current_user) AS role) g
  JOIN pg_catalog.pg_namespace n ON n.nspname = :schema
  JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = :name AND c.relkind IN ('r', 'p')
  JOIN pg_catalog.pg_roles r ON r.oid = c.relowner
"""

SERVER_FACTS = """
SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only') = 'on',
       current_user, session_user, pg_catalog.pg_backend_pid()
"""

SESSION = """
SELECT DISTINCT l.pid, a.application_name, a.usename,
       extract(epoch FROM pg_catalog.clock_timestamp() - coalesce(a.xact_start, a.query_start))::float8,
       a.state, a.query
"""
THIS_DATABASE = "(SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())"
THIS_TABLE = (
    "(SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = :schema AND c.relname = :name)"
)

# A prepared transaction holds locks and has no session.
HOLDERS = f"""{SESSION}
  FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
 WHERE l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid() AND l.granted AND l.database = {THIS_DATABASE}
   AND (l.locktype = 'relation' AND l.relation = {THIS_TABLE}
        OR l.locktype = 'advisory' AND l.objsubid = 1
           AND ((l.classid::bigint << 32) | l.objid::bigint) = CAST(:key AS bigint))
 ORDER BY 4 DESC NULLS LAST
"""

# Who may not see what another role does sees that it builds an index, and on which table it holds a lock.
BUILDERS = f"""{SESSION}
  FROM pg_catalog.pg_locks l
  JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
  JOIN pg_catalog.pg_stat_progress_create_index p ON p.pid = l.pid
 WHERE l.pid <> pg_catalog.pg_backend_pid() AND l.granted AND l.locktype = 'relation' AND l.database = {THIS_DATABASE}
   AND l.relation = {THIS_TABLE} AND l.mode IN ('ShareUpdateExclusiveLock', 'ShareLock')
   AND (p.relid IS NULL OR p.relid = l.relation)
"""

# An index build waits for every transaction of the database whose snapshot is older than its own.
SNAPSHOTS = """
SELECT a.pid, a.application_name, a.usename,
       extract(epoch FROM pg_catalog.clock_timestamp() - a.xact_start)::float8, a.state, a.query
  FROM pg_catalog.pg_stat_activity a
 WHERE a.pid <> pg_catalog.pg_backend_pid() AND a.datname = pg_catalog.current_database()
   AND a.backend_type = 'client backend'
   AND (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL)
 ORDER BY 4 DESC NULLS LAST LIMIT 3
"""

BLOCKERS = """
SELECT a.pid, a.application_name, a.usename,
       extract(epoch FROM pg_catalog.clock_timestamp() - a.xact_start)::float8, a.state, a.query
  FROM pg_catalog.pg_stat_activity a
 WHERE a.pid = ANY (pg_catalog.pg_blocking_pids(:pid))
 ORDER BY 4 DESC NULLS LAST
"""

# One round trip: what stands before BEGIN in one message is in the transaction too. The lock lives no longer than
# that, so it is safe behind a transaction pooler, and dies with a killed client. The text is literal: a bound parameter
# would keep a snapshot open, which an index build waits for. pg_catalog goes first, whatever the role's search_path
# says, so that nobody's type `jsonb` or function `now` is taken for the real one; temporary tables go last.
ENTER = """
SELECT pg_catalog.pg_try_advisory_xact_lock({key}),
       pg_catalog.set_config('lock_timeout', '{lock_timeout}', true),
       pg_catalog.set_config('statement_timeout', '0', true),
       pg_catalog.set_config('search_path', pg_catalog.concat_ws(', ', 'pg_catalog',
           nullif(pg_catalog.current_setting('search_path'), ''), 'pg_temp'), true);
BEGIN
"""
# A transaction that does nothing but hold the lock is idle for as long as the build takes.
STAY = """
SELECT pg_catalog.set_config(s.name, '0', true) FROM pg_catalog.pg_settings s
 WHERE s.name IN ('idle_in_transaction_session_timeout', 'transaction_timeout')
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
    enter=(ENTER,),
    busy_states=frozenset({"55P03", "40P01"}),  # lock_not_available, deadlock_detected
    busy_texts=frozenset(),
    # duplicate column, schema, relation, type (every table has one), catalogue row
    raced_states=frozenset({"42701", "42P06", "42P07", "42710", "23505"}),
    denied_states=frozenset({"42501"}),  # insufficient privilege
    stale_states=frozenset({"42P01", "42703", "3F000"}),  # undefined table, undefined column, invalid schema name
    stale_texts=frozenset(),
    writes_in_parallel=True,
    alters_defaults=True,
    estimates_rows=True,
    json_is_text=False,
    holds_nul=False,
    catalogue=CATALOGUE,
    named_filter=("c.relname = ANY (ARRAY(SELECT pg_catalog.json_array_elements_text(CAST(:names AS json)))::name[])"),
    shape_filter=(
        "c.oid IN (SELECT a.attrelid FROM pg_catalog.pg_attribute a WHERE NOT a.attisdropped"
        " AND a.attname IN (SELECT pg_catalog.json_array_elements_text(CAST(:markers AS json))))"
    ),
    default_known="'\"\"'",
    detail_default=DEFAULT_TEXT,
    detail_rows="CASE WHEN c.reltuples >= 0 THEN c.reltuples::bigint END",
    detail_size="CASE WHEN c.relkind IN ('r', 'm') THEN pg_catalog.pg_total_relation_size(c.oid) END",
    relations_named=(
        "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relname = ANY ("
        "ARRAY(SELECT pg_catalog.json_array_elements_text(CAST(:names AS json)))::name[])"
    ),
    schemas="SELECT nspname FROM pg_catalog.pg_namespace",
    # The first schema of the search path that has the table, temporary ones apart.
    home_schema=(
        "SELECT coalesce((SELECT p.name"
        " FROM pg_catalog.unnest(pg_catalog.current_schemas(false)) WITH ORDINALITY p(name, place)"
        " JOIN pg_catalog.pg_namespace n ON n.nspname = p.name"
        " JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = :name"
        " AND c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY p.place LIMIT 1), pg_catalog.current_schema(), 'public')"
    ),
    server_facts=SERVER_FACTS,
    table_facts=TABLE_FACTS,
    holders=HOLDERS,
    builders=BUILDERS,
    snapshots=SNAPSHOTS,
    blockers=BLOCKERS,
    log_access=LOG_ACCESS,
    small_bytes=8 * 1024 * 1024,  # a plain build of so much holds writers up for about 10 ms
    hold=(ENTER, STAY),
    read_only=(
        "this role's sessions are read-only there (default_transaction_read_only)",
        "Use another role, or ALTER ROLE ... SET default_transaction_read_only = off.",
    ),
    oldest={"PostgreSQL": (12,)},
)
