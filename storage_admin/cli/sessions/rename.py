"""storage-admin sessions rename."""

from __future__ import annotations

import click

from storage_admin.cli.options import database_options, tables_argument
from storage_admin.cli.sessions.options import open_sessions


@click.command("rename")
@click.argument("session_id", metavar="ID")
@click.argument("name")
@tables_argument
@database_options
def command(session_id: str, name: str, tables: tuple[str, ...], db_url: str | None, schema: str | None) -> None:
    """Name a session, as Agno's rename_session does. It does not count as used."""
    from storage_admin.cli.output import say

    for changed in open_sessions(db_url, schema).rename(session_id, name, tables or None):
        say(f"{changed.table}: renamed")
