"""storage-admin sessions copy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from storage_admin.cli.options import database_options, output_option, tables_argument
from storage_admin.cli.sessions.options import conflict_option, filter_of, filter_options, open_sessions

if TYPE_CHECKING:
    from storage_admin.sessions import Copied, OnConflict


@click.command("copy")
@tables_argument
@click.option(
    "--to",
    "target",
    required=True,
    metavar="URL",
    envvar="STORAGE_ADMIN_TO_URL",
    help="The other database; also STORAGE_ADMIN_TO_URL, which no list of processes shows.",
)
@filter_options
@conflict_option
@click.option("--verify", is_flag=True, help="Copy nothing: only compare the two databases.")
@click.option("--without", multiple=True, metavar="COLUMN", help="Leave this column out.")
@click.option(
    "--rejects", default="copy.rejects.jsonl", type=click.Path(), metavar="FILE", help="Where to put what cannot go in."
)
@database_options
@output_option
def command(
    tables: tuple[str, ...],
    target: str,
    db_url: str | None,
    schema: str | None,
    on_conflict: OnConflict,
    verify: bool,
    without: tuple[str, ...],
    rejects: str,
    output: str,
    **options: str | None,
) -> None:
    """Copy sessions into another database, and compare the two at the end.

    Tables are created or upgraded there, and a file of SQLite is made. What was cut off is finished by the same
    command. Where rows are rejected nothing is compared.
    """
    from storage_admin.cli.options import open_target
    from storage_admin.cli.output import say
    from storage_admin.cli.sessions.transfer import transfer_progress
    from storage_admin.errors import CopyDiffers, SomeLeftOut
    from storage_admin.sessions import Copied

    sessions = open_sessions(db_url, schema)
    wanted = filter_of(sessions, options)
    choice: dict[str, Any] = {"on_conflict": on_conflict, "rejects": rejects, "without": without}
    try:
        with transfer_progress("copy") as told:
            done = sessions.copy(open_target(target), wanted, tables or None, **choice, verify_only=verify, told=told)
        show(done, output)
    except CopyDiffers as error:
        show(error.result, output)
        raise
    except SomeLeftOut as error:
        show(Copied(error.result, ()), output)
        say("Not compared, since rows were rejected; `storage-admin sessions copy --verify` compares.")
        raise


def show(done: Copied, output: str) -> None:
    """Say what went over, and whether it is the same there."""
    from storage_admin.cli import output as out
    from storage_admin.cli.sessions.documents import copied_document
    from storage_admin.cli.sessions.load import show_added, show_old_rejects

    if output != "table":
        out.emit(copied_document(done), output)
    for table in done.loaded.tables if done.loaded is not None else ():
        made = ", created" if table.created else ""
        kept = f", {table.unchanged:,} there already" if table.unchanged else ""
        refused = f", {table.rejected:,} rejected" if table.rejected else ""
        copied = out.count_text(table.inserted + table.updated, "session")
        out.say(f"{table.table}: {copied} copied{kept}{refused}{made}")
    if done.loaded is not None:
        show_added(done.loaded)
        show_old_rejects(done.loaded)
    for compared in done.tables:
        numbers = {
            "missing": compared.missing,
            "different": compared.different,
            "in the target only": compared.target_only,
        }
        others = [f"{difference.sessions:,} {what}" for what, difference in numbers.items() if difference.sessions]
        same = "all the same" if compared.equal else f"{compared.same:,} the same"
        out.say(
            f"{compared.table}: {out.count_text(compared.sessions, 'session')} compared, {', '.join([same, *others])}"
        )
