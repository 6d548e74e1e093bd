"""MySQL 8 and later, MariaDB 10.6 and later; MySQL 5.7 to be read."""

from __future__ import annotations

from msgspec.structs import replace

from storage_admin.dialects.base import Dialect, TypeDefinition
from storage_admin.schema import ColumnType

# The same rows as on PostgreSQL. Grouped and joined, since a correlated subquery would read information_schema anew for
# each table; {scope} is a comparison with a constant wherever one table or schema is meant, which a server finds by its
# name. MySQL cuts what GROUP_CONCAT gives at 1,024 characters, unless it is told otherwise. MariaDB writes NULL as the
# default of a column that has none, and makes an index of the first characters of a long text.
CATALOGUE = """
SELECT /*+ SET_VAR(group_concat_max_len = 1000000) */
       t.TABLE_SCHEMA, t.TABLE_NAME, CASE WHEN t.TABLE_TYPE LIKE '%%VIEW' THEN 'view' ELSE 'table' END,
       c.listed, i.primary_key, i.listed, i.names, {rows}, {size}
  FROM information_schema.TABLES t
  JOIN (SELECT TABLE_SCHEMA, TABLE_NAME, MAX(JSON_CONTAINS(:markers, JSON_QUOTE(LOWER(COLUMN_NAME)))) AS marked,
               GROUP_CONCAT('[', ORDINAL_POSITION, ',', JSON_QUOTE(COLUMN_NAME), ',', JSON_QUOTE(COLUMN_TYPE), ',',
                            IF(IS_NULLABLE = 'YES', 'true', 'false'), ',',
                            IF(COLUMN_DEFAULT IS NULL OR COLUMN_DEFAULT = 'NULL', 'null', {default}), ',',
                            IF(EXTRA REGEXP 'auto_increment|VIRTUAL|STORED|PERSISTENT', 'true', 'false'), ']'
                            ORDER BY ORDINAL_POSITION) AS listed
          FROM information_schema.COLUMNS WHERE {scope} GROUP BY TABLE_SCHEMA, TABLE_NAME) c
    ON c.TABLE_SCHEMA = t.TABLE_SCHEMA AND c.TABLE_NAME = t.TABLE_NAME
  LEFT JOIN (SELECT TABLE_SCHEMA, TABLE_NAME, MAX(IF(INDEX_NAME = 'PRIMARY', numbers, NULL)) AS primary_key,
                    GROUP_CONCAT(IF(INDEX_NAME = 'PRIMARY', NULL,
                                    CONCAT('[[', COALESCE(numbers, ''), '],', is_unique, ',true,', plain, ']'))
                                 ORDER BY INDEX_NAME) AS listed,
                    GROUP_CONCAT(IF(INDEX_NAME = 'PRIMARY', NULL, JSON_QUOTE(INDEX_NAME)) ORDER BY INDEX_NAME) AS names
               FROM (SELECT s.TABLE_SCHEMA, s.TABLE_NAME, s.INDEX_NAME,
                            GROUP_CONCAT(k.ORDINAL_POSITION ORDER BY s.SEQ_IN_INDEX) AS numbers,
                            IF(MAX(s.NON_UNIQUE) = 0, 'true', 'false') AS is_unique,
                            IF(MIN(COALESCE(s.SUB_PART, 255)) >= 64 AND MIN(s.INDEX_TYPE) = 'BTREE'
                               AND COUNT(s.COLUMN_NAME) = COUNT(*), 'true', 'false') AS plain
                       FROM (SELECT * FROM information_schema.STATISTICS WHERE {scope}) s
                       LEFT JOIN (SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, ORDINAL_POSITION
                                    FROM information_schema.COLUMNS WHERE {scope}) k
                         ON k.TABLE_SCHEMA = s.TABLE_SCHEMA AND k.TABLE_NAME = s.TABLE_NAME
                        AND k.COLUMN_NAME = s.COLUMN_NAME
                      GROUP BY s.TABLE_SCHEMA, s.TABLE_NAME, s.INDEX_NAME) x
              GROUP BY TABLE_SCHEMA, TABLE_NAME) i
    ON i.TABLE_SCHEMA = t.TABLE_SCHEMA AND i.TABLE_NAME = t.TABLE_NAME
 WHERE t.TABLE_SCHEMA NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys')
   AND t.TABLE_TYPE IN ('BASE TABLE', 'VIEW', 'SYSTEM VERSIONED')
   AND (:schema IS NULL OR t.TABLE_SCHEMA = :schema)
   AND {filter}
""".replace("%%", "%")

# Whose transaction may be the one that holds the table: without more rights no server tells which.
HOLDERS = """
SELECT p.ID, NULL, p.USER, TIMESTAMPDIFF(SECOND, x.trx_started, NOW()), p.COMMAND, p.INFO
  FROM information_schema.INNODB_TRX x JOIN information_schema.PROCESSLIST p ON p.ID = x.trx_mysql_thread_id
 WHERE p.ID <> CONNECTION_ID() ORDER BY 4 DESC
"""
ACCOUNT = "CONCAT(QUOTE(SUBSTRING_INDEX({0}, '@', 1)), '@', QUOTE(SUBSTRING_INDEX({0}, '@', -1)))"

IN_PLACE = ", ALGORITHM=INPLACE, LOCK=NONE"
TEXTS = frozenset({"varchar", "text", "mediumtext", "longtext"})

_NEW = Dialect(
    name="mysql",
    title="MySQL",
    types={
        # MariaDB keeps JSON as LONGTEXT.
        ColumnType.STRING: TypeDefinition("VARCHAR(255)", TEXTS | {"char"}),
        ColumnType.TEXT: TypeDefinition("TEXT", TEXTS),
        ColumnType.JSON: TypeDefinition("JSON", frozenset({"json", "longtext"})),
        ColumnType.EPOCH: TypeDefinition("BIGINT", frozenset({"bigint"})),
        ColumnType.INTEGER: TypeDefinition("BIGINT", frozenset({"bigint", "int"})),
        ColumnType.BOOLEAN: TypeDefinition("BOOLEAN", frozenset({"tinyint"})),
    },
    defaults={"now": "(UNIX_TIMESTAMP())"},
    has_schemas=True,
    default_schema="ai",  # the default of agno.storage.mysql.MySQLStorage(schema=...)
    folds_names=True,
    name_limit=64,
    counts_bytes=False,
    begin=(),
    enter=("SET SESSION lock_wait_timeout = {lock_timeout_s}", "SELECT GET_LOCK('{lock_name}', 0)"),
    leave=("DO RELEASE_LOCK('{lock_name}')", "SET SESSION lock_wait_timeout = DEFAULT"),
    busy_states=frozenset({"1205", "1213", "3572"}),  # lock wait timeout, deadlock, NOWAIT
    busy_texts=frozenset(),
    raced_states=frozenset({"1007", "1050", "1060", "1061"}),  # duplicate database, table, column, key
    denied_states=frozenset({"1044", "1142", "1227"}),  # for a database, for a table, a right
    stale_states=frozenset({"1049", "1054", "1146"}),  # unknown database, unknown column, no such table
    stale_texts=frozenset(),
    unsupported_states=frozenset({"1800", "1845", "1846", "4092"}),
    lockless_states=frozenset({"1235"}),  # Galera knows no GET_LOCK; looking again is what keeps us safe
    writes_in_parallel=True,
    transactional_ddl=False,
    algorithms=(", ALGORITHM=INSTANT", IN_PLACE),
    alters_defaults=True,
    estimates_rows=True,
    json_is_text=False,
    holds_nul=True,
    catalogue=CATALOGUE,
    scope={
        "all": "TABLE_SCHEMA NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys')",
        "schema": "TABLE_SCHEMA = :schema",
        "table": "TABLE_SCHEMA = :schema AND TABLE_NAME = :only",
    },
    named_filter="JSON_CONTAINS(:names, JSON_QUOTE(t.TABLE_NAME))",
    shape_filter="c.marked = 1",
    default_known="'\"\"'",
    detail_default="JSON_QUOTE(COLUMN_DEFAULT)",
    detail_rows="t.TABLE_ROWS",
    detail_size="t.DATA_LENGTH + t.INDEX_LENGTH",
    relations_named="",  # the names of indexes are a table's own affair
    schemas="SELECT SCHEMA_NAME FROM information_schema.SCHEMATA",
    home_schema="SELECT COALESCE(DATABASE(), :name)",
    server_facts=(
        "SELECT FALSE, @@global.read_only = 1, "
        + ACCOUNT.format("CURRENT_USER()")
        + ", "
        + ACCOUNT.format("USER()")
        + ", CONNECTION_ID()"
    ),
    holders=HOLDERS,
    read_only=(
        "it is read-only (read_only = ON), as replicas are",
        "Connect to the server that takes changes.",
    ),
    grant="GRANT SELECT, INSERT, UPDATE, CREATE, ALTER, INDEX ON {schema}.* TO {role}",
    lenient="SELECT @@global.sql_mode NOT REGEXP 'STRICT_(TRANS|ALL)_TABLES'",
    narrow_texts=(
        "SELECT DISTINCT TABLE_SCHEMA, TABLE_NAME, CHARACTER_SET_NAME FROM information_schema.COLUMNS"
        " WHERE JSON_CONTAINS(:names, JSON_QUOTE(TABLE_NAME)) "
        " AND CHARACTER_SET_NAME NOT IN ('utf8mb4', 'utf16', 'utf16le', 'utf32', 'gb18030', 'binary')"
        " ORDER BY 3, 1, 2"
    ),
    oldest={"MySQL": (8, 0), "MariaDB": (10, 6)},
)

# Without ALGORITHM=INSTANT (8.0.12) and without an expression as a default (8.0.13).
_OLD = replace(
    _NEW,
    algorithms=(IN_PLACE,),
    defaults={},
    remark=(
        "for a MySQL before 8.0.13: columns are added in place, which writes the whole table anew while others go on "
        "using it; created_at gets no default, since that would be an expression; MySQLStorage of storage-admin fills "
        "it in, Agno's own class leaves it empty"
    ),
)
MYSQL = replace(_NEW, older=((8, 0, 13), _OLD))
