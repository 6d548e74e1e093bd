"""storage-admin sessions import, and restore."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

from storage_admin.cli import completing
from storage_admin.cli.options import database_options, output_option
from storage_admin.cli.sessions.options import conflict_option, open_sessions

if TYPE_CHECKING:
    from collections.abc import Callable

    from storage_admin.sessions import Loaded

    Command = TypeVar("Command", bound=Callable[..., Any])

OPTIONS = (
    conflict_option,
    click.option(
        "--rejects",
        type=click.Path(),
        metavar="FILE",
        help="Where rows go that cannot go in. FILE.rejects.jsonl without it.",
    ),
    click.option("--without", multiple=True, metavar="COLUMN", help="Leave this column of the file out."),
)


def load_options(command: Command) -> Command:
    """What import and restore have in common."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


@click.command("import")
@click.argument("path", type=click.Path(allow_dash=True), metavar="FILE")
@click.argument("table", required=False, metavar="[TABLE=KIND]", shell_complete=completing.tables)
@load_options
@database_options
@output_option
def import_command(path: str, table: str | None, output: str, **options: Any) -> int:
    """Bring the sessions of a file into a table of this database, which is created if it is not there.

    A database of SQLite is a file that has to be there (touch FILE); a table in it need not.
    FILE is what `sessions export` wrote, or - for JSONL from standard input. A file by somebody else has objects with
    the names of columns, and needs TABLE=KIND. Run it again after a failure: what is there already is left.
    """
    return run(path, table, output, "import", **options)


@click.command("restore")
@click.argument("path", type=click.Path(allow_dash=True), metavar="FILE")
@load_options
@database_options
@output_option
def restore_command(path: str, output: str, **options: Any) -> int:
    """Bring back what an export or the archive of a prune holds, into the tables that it came from."""
    return run(path, None, output, "restore", **options)


def run(
    path: str,
    table: str | None,
    output: str,
    what: str,
    *,
    db_url: str | None,
    schema: str | None,
    on_conflict: Any,
    rejects: str | None,
    without: tuple[str, ...],
) -> int:
    """Load, and say what became of it."""
    from storage_admin.cli.sessions.transfer import transfer_progress
    from storage_admin.errors import SomeLeftOut

    sessions = open_sessions(db_url, schema)
    place = None if path == "-" else path
    try:
        with transfer_progress(what) as told:
            options: dict[str, Any] = {"on_conflict": on_conflict, "rejects": rejects, "without": without}
            done = sessions.load(place, table, told=told, **options)
        show(done, output)
    except SomeLeftOut as error:
        show(error.result, output)
        raise
    return 0


def show(done: Loaded, output: str) -> None:
    """Print what became of the sessions."""
    from storage_admin.cli import output as out
    from storage_admin.cli.sessions.documents import loaded_document

    if output != "table":
        out.emit(loaded_document(done), output)
        return
    headers = ("Table", "Read", "Inserted", "Updated", "There already", "Rejected")
    rows = [
        (
            f"{t.table}{' (new)' if t.created else ''}",
            *(f"{number:,}" for number in (t.read, t.inserted, t.updated, t.unchanged, t.rejected)),
        )
        for t in done.tables
    ]
    out.show_table(headers, rows, right=headers[1:])
    show_added(done)
    show_old_rejects(done)


def show_old_rejects(done: Loaded) -> None:
    """Say that a file of rejects is of an earlier run, which looks like one of this run."""
    from storage_admin.cli import output as out

    if done.old_rejects is not None:
        out.show_notes([f"{done.old_rejects} is of an earlier run; nothing was rejected in this one"])


def show_added(done: Loaded) -> None:
    """Say which columns were added, and where."""
    from storage_admin.cli.output import say

    for table in done.tables:
        if table.added:
            say(f"{table.table}: extra columns added: {', '.join(table.added)}")
