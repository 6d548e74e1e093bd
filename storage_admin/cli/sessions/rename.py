"""storage-admin sessions rename."""

from __future__ import annotations

import click

from storage_admin.cli.options import database_options, output_option, tables_argument
from storage_admin.cli.sessions.options import open_sessions


@click.command("rename")
@click.argument("session_id", metavar="ID")
@click.argument("name")
@tables_argument
@database_options
@output_option
def command(
    session_id: str, name: str, tables: tuple[str, ...], db_url: str | None, schema: str | None, output: str
) -> None:
    """Name a session, as Agno's rename_session does. It does not count as used."""
    from storage_admin.cli import output as out
    from storage_admin.cli.sessions.documents import changed_document

    done = open_sessions(db_url, schema).rename(session_id, name, tables or None)
    if output != "table":
        out.emit(changed_document(done), output)
    for changed in done:
        out.say(f"{changed.table}: renamed")
