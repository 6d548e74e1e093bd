"""storage-admin sessions export."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from storage_admin.cli.options import database_options, output_option, tables_argument, typed
from storage_admin.cli.sessions.options import filter_of, filter_options, open_sessions

if TYPE_CHECKING:
    from storage_admin.sessions import Exported


@click.command("export")
@tables_argument
@click.option(
    "--to",
    "path",
    required=True,
    type=click.Path(allow_dash=True),
    metavar="FILE",
    help="NAME.jsonl, NAME.jsonl.gz, NAME.jsonl.zst, NAME.csv or NAME.parquet; - is standard output.",
)
@filter_options
@click.option("--no-snapshot", is_flag=True, help="Page by page, with no transaction open: not all of one moment.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@database_options
@output_option
def command(
    tables: tuple[str, ...],
    path: str,
    db_url: str | None,
    schema: str | None,
    no_snapshot: bool,
    force: bool,
    output: str,
    **options: str | None,
) -> int:
    """Write sessions into a file, all of one moment; `sessions import` brings them into any database.

    Beside it FILE.manifest.json has the counts and the SHA-256. A file of several tables is JSONL.
    """
    from storage_admin.cli.sessions.transfer import transfer_progress
    from storage_admin.errors import SomeLeftOut, UsageError

    if path == "-" and output != "table":
        if typed("output"):
            raise UsageError(problem="Standard output is either the sessions (--to -) or the result (-o).")
        output = "table"
    sessions = open_sessions(db_url, schema)
    wanted, place = filter_of(sessions, options), None if path == "-" else path
    try:
        with transfer_progress("export") as told:
            done = sessions.export(place, wanted, tables or None, snapshot=not no_snapshot, force=force, told=told)
        show(done, output)
    except SomeLeftOut as error:
        show(error.result, output)
        raise
    return 0


def show(done: Exported, output: str) -> None:
    """Print what was written."""
    from storage_admin.cli import output as out
    from storage_admin.cli.sessions.documents import exported_document

    if output != "table":
        out.emit(exported_document(done), output)
    for table in done.tables:
        out.say(f"{table.header.table}: {out.count_text(table.sessions, 'session')}")
    if not done.sessions:
        out.show_notes(["no session matches, so there is none in it"])
    where = done.path or "standard output"
    out.say(f"{out.count_text(done.sessions, 'session')} in {where}, {out.size_text(done.bytes)}")
