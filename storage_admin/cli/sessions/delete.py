"""storage-admin sessions delete."""

from __future__ import annotations

import click

from storage_admin.cli.options import database_options, output_option
from storage_admin.cli.sessions.options import agreed, open_sessions, table_option


@click.command("delete")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--user", metavar="USER", help="Every session of this user_id; with IDs, those of this user only.")
@table_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@database_options
@output_option
def command(
    ids: tuple[str, ...],
    user: str | None,
    tables: tuple[str, ...],
    yes: bool,
    db_url: str | None,
    schema: str | None,
    output: str,
) -> int:
    """Delete sessions by id, or all of a user, from every table. Shows how many, and asks.

    What is deleted is gone: `storage-admin sessions export` first.
    """
    from storage_admin.cli import output as out
    from storage_admin.cli.sessions.documents import changed_document
    from storage_admin.errors import NoSuchSession
    from storage_admin.sessions import Filter

    if not ids and user is None:
        raise click.UsageError("Name the sessions, or a user with --user.")
    sessions = open_sessions(db_url, schema)
    wanted, where = Filter(ids=ids, user=user), ", ".join(tables) or "any table"
    found = sessions.count(wanted, tables or None)
    there = {each.session_id for each in sessions.iterate(wanted, tables or None)} if ids else set()
    missing = [each for each in ids if each not in there]
    if ids and not found:
        raise NoSuchSession(session_id=", ".join(ids), tables=where if user is None else f"{where}, of user {user}")
    for counted in found:
        out.say(f"{counted.table}: {out.count_text(counted.sessions, 'session')}")
    if missing:
        out.say(f"Not there: {', '.join(missing)}")
    if not found:
        out.say(f"No session of {user} in {where}.")
    elif not yes and not agreed("Delete them for good?"):
        return 1
    done = sessions.delete(wanted, tables or None) if found else ()
    if output != "table":
        out.emit(changed_document(done), output)
    out.say(f"{out.count_text(sum(changed.sessions for changed in done), 'session')} deleted")
    return 1 if missing else 0
