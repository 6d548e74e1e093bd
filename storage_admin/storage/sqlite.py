"""The drop-in for ``agno.storage.sqlite.SqliteStorage``."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import URL

from storage_admin.database import parse_url
from storage_admin.dialects import SQLITE
from storage_admin.errors import BadDatabaseURL, UnsupportedDatabase
from storage_admin.files import in_memory
from storage_admin.storage.base import SqlStorage

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from storage_admin.locking import Patience
    from storage_admin.storage.sessions import Kind

OLDEST = (3, 35, 0)  # RETURNING


class SqliteStorage(SqlStorage):
    """Sessions in a table of a SQLite file; takes the place of ``agno.storage.sqlite.SqliteStorage`` (agno 1.0 to 1.8).

    ``db_engine`` is used as it is; else ``db_url``, else ``db_file``, whose folder is made if need be, else a database
    in memory. The other arguments are those of `PostgresStorage`.

    Raises:
        UnsupportedDatabase: this SQLite is older than 3.35. And as `PostgresStorage`.
    """

    dialect = SQLITE
    autocommits = False  # to change it and back costs more than a transaction

    def __init__(
        self,
        table_name: str,
        db_url: str | None = None,
        db_file: str | Path | None = None,
        db_engine: Engine | None = None,
        schema_version: int = 1,
        auto_upgrade_schema: bool = False,
        mode: Kind | None = None,
        *,
        allow_owner_change: bool = False,
        patience: Patience | None = None,
    ) -> None:
        if sqlite3.sqlite_version_info < OLDEST:
            raise UnsupportedDatabase(name=f"SQLite {sqlite3.sqlite_version}", supported="SQLite 3.35 and later")
        self.db_url = db_url
        self.db_file = db_file
        super().__init__(
            table_name,
            None,
            _url(db_url, db_file) if db_engine is None else None,
            db_engine,
            schema_version=schema_version,
            auto_upgrade_schema=auto_upgrade_schema,
            mode=mode,
            allow_owner_change=allow_owner_change,
            patience=patience,
        )


def _url(db_url: str | None, db_file: str | Path | None) -> URL:
    if db_url is not None:
        url = parse_url(db_url)
        if url.get_backend_name() != "sqlite" or in_memory(url) or url.query:
            return url
        path = Path(url.database or "")
    elif db_file is not None:
        if "://" in str(db_file):
            raise BadDatabaseURL(problem="db_file takes a path, and this is a URL, which db_url takes")
        path = Path(db_file)
    else:
        return URL.create("sqlite")
    path = path.resolve()  # from here on it means the same file, wherever the process goes
    path.parent.mkdir(parents=True, exist_ok=True)
    return URL.create("sqlite", database=str(path))
