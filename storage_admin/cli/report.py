"""storage-admin report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from storage_admin.cli.options import database_options, open_admin, output_option, tables_argument

if TYPE_CHECKING:
    from storage_admin.changes import Plan
    from storage_admin.overview import Overview

SUFFIXES = (".html", ".htm")
COUNT_UP_TO = 1_000_000


@click.command("report")
@click.argument("file", metavar="FILE.html")
@tables_argument
@database_options
@click.option(
    "--count-up-to",
    type=click.IntRange(min=0),
    default=COUNT_UP_TO,
    show_default=True,
    metavar="ROWS",
    help="Read the rows of tables that have no more than this; 0 reads none.",
)
@click.option("--no-statistics", is_flag=True, help="Read no rows: no users, no growth, no ages. As --count-up-to 0.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@output_option
def command(
    file: str,
    tables: tuple[str, ...],
    db_url: str | None,
    schema: str | None,
    count_up_to: int,
    no_statistics: bool,
    force: bool,
    output: str,
) -> None:
    """Write a picture of the storage, as a page for a browser.

    One file that opens in any browser, and needs nothing else.

    Every table with its status, what is pending with its SQL, size, indexes and findings, growth and age, and what a
    retention would remove. It holds counts, and nothing of what the sessions hold or whose they are. FILE.html may be -
    for standard output; -o json prints the same as a document, and with - in place of the page.
    """
    from storage_admin.cli.progress import progress
    from storage_admin.errors import UsageError
    from storage_admin.overview import look, write_report
    from storage_admin.reports import Outcome

    if file != "-" and not file.lower().endswith(SUFFIXES):
        problem = f"{file!r} is no name for a page: the first argument is FILE.html, or - for standard output."
        raise UsageError(problem=problem)
    admin = open_admin(db_url, schema)
    limit, named = 0 if no_statistics else count_up_to, tables or None
    with progress("report") as told:

        def done(plan: Plan, number: int, total: int) -> None:
            told(Outcome(plan), number, total)

        if file == "-" and output != "table":
            overview = look(admin, named, count_up_to=limit, told=done)
        else:
            path = None if file == "-" else file
            overview = write_report(admin, path, named, count_up_to=limit, force=force, told=done)
    show(overview, file, output)


def show(overview: Overview, file: str, output: str) -> None:
    """Say what is in the page, and print the document of it where that was asked for."""
    from storage_admin.cli import output as out

    if output != "table":
        from storage_admin.cli.overview import overview_document

        out.emit(overview_document(overview), output)
    for gap in overview.gaps:
        out.say(f"Not measured: {gap.what}: {gap.why}")
    where = "" if file == "-" else f"{file}: "
    out.say(f"{where}{out.summary(view.plan.status.value for view in overview.tables)}")
