"""storage-admin wait."""

from __future__ import annotations

import click

from storage_admin.cli.options import database_options, open_admin, output_option, tables_argument
from storage_admin.cli.settings import Duration

EXIT_CODES = """\b
Exit codes:
  0   all are current
  1   the database could not be reached, to the end
  2   changes are pending still, or a table is not there yet
  3   drift; 4 ahead: at the end, or at once with --fail-fast
"""


@click.command("wait", epilog=EXIT_CODES)
@tables_argument
@database_options
@click.option(
    "--timeout",
    type=Duration(min=0),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait; 0 looks once.",
)
@click.option(
    "--interval",
    type=Duration(min=0.05),
    default=1,
    show_default=True,
    metavar="SECONDS",
    help="The pause between two looks, give or take a third.",
)
@click.option("--fail-fast", is_flag=True, help="Give up at once on a table that no upgrade mends (drifted, ahead).")
@output_option
def command(
    tables: tuple[str, ...],
    db_url: str | None,
    schema: str | None,
    timeout: float,
    interval: float,
    fail_fast: bool,
    output: str,
) -> int:
    """Wait until the tables are current.

    Another process makes them so: this is for an init container or a Helm hook. The database, its
    schema and its tables need not be there yet. Name the tables where others may be found first.
    """
    from storage_admin.cli import output as out

    admin = open_admin(db_url, schema)
    survey = admin.wait(tables or None, timeout=timeout, interval=interval, fail_fast=fail_fast, told=_tell)
    if output != "table":
        from storage_admin.cli.documents import survey_document

        out.emit(survey_document(survey, admin.catalog), output)
    out.show_notes(survey.notes)
    out.say(out.summary(plan.status.value for plan in survey.plans))
    return 0


def _tell(waited: str) -> None:
    from storage_admin.cli.talk import voice

    voice(f"Waiting: {voice.redacted(waited)}", event="waiting")
