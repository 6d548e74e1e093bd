"""The drop-in for ``agno.storage.postgres.PostgresStorage``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage_admin.database import parse_url
from storage_admin.dialects import POSTGRES
from storage_admin.storage.base import SqlStorage

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from storage_admin.locking import Patience
    from storage_admin.storage.sessions import Kind


class PostgresStorage(SqlStorage):
    """Sessions in a PostgreSQL table; takes the place of ``agno.storage.postgres.PostgresStorage`` (agno 1.0 to 1.8).

    ``db_engine`` is used as it is; else one is made for ``db_url``. ``schema=None`` leaves the schema to the
    search_path. With ``auto_upgrade_schema`` the table is checked, and upgraded if need be, before the first statement
    of each kind, and at once where ``mode`` is given. A missing table is always created. ``allow_owner_change`` lets an
    upsert hand a session from one user to another. ``patience`` says how long to wait for a lock.

    Raises:
        NoDatabase, WrongDatabase, UnknownKind, UnsupportedSchemaVersion, BadDatabaseURL, and, where the table is
        checked at once, as `upgrade_schema`.
    """

    dialect = POSTGRES

    def __init__(
        self,
        table_name: str,
        schema: str | None = "ai",
        db_url: str | None = None,
        db_engine: Engine | None = None,
        schema_version: int = 1,
        auto_upgrade_schema: bool = False,
        mode: Kind | None = None,
        *,
        allow_owner_change: bool = False,
        patience: Patience | None = None,
    ) -> None:
        self.db_url = db_url
        super().__init__(
            table_name,
            schema,
            parse_url(db_url) if db_url is not None else None,
            db_engine,
            schema_version=schema_version,
            auto_upgrade_schema=auto_upgrade_schema,
            mode=mode,
            allow_owner_change=allow_owner_change,
            patience=patience,
        )
