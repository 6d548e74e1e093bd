"""storage-admin inspect."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from storage_admin.cli.options import database_options, open_admin, output_option, tables_argument
from storage_admin.cli.targets import OverTargets

if TYPE_CHECKING:
    from collections.abc import Iterable

    from storage_admin.catalog import Catalog
    from storage_admin.changes import Plan
    from storage_admin.reports import Survey


SHOWN = 5


@click.command("inspect", cls=OverTargets)
@tables_argument
@database_options
@output_option
def command(tables: tuple[str, ...], db_url: str | None, schema: str | None, output: str) -> None:
    """Show the session tables, and how old they are.

    Kinds, version, status, what is kept, rows and size. Changes nothing.
    """
    from storage_admin.cli.documents import survey_document
    from storage_admin.cli.output import emit, show_notes

    admin = open_admin(db_url, schema)
    survey = admin.inspect(tables or None)
    if output == "table":
        show(survey, admin.catalog)
    else:
        emit(survey_document(survey, admin.catalog), output)
    show_notes(survey.notes)


def show(survey: Survey, catalog: Catalog) -> None:
    """Print a survey for people."""
    from storage_admin.cli import output as out

    headers = ("Table", "Kinds", "Version", "Status", "Rows", "Size", "To do")
    rows = [
        (
            str(plan.table),
            ", ".join(plan.kinds),
            out.version_text(plan, catalog),
            out.status_text(plan.status.value),
            f"{plan.live.rows:,}" if plan.live and plan.live.rows is not None else "-",
            out.size_text(plan.live.bytes if plan.live else None),
            out.pending_text(plan),
        )
        for plan in survey.plans
    ]
    out.say(f"{survey.database.server} at {survey.database.url}\n")
    out.show_table(headers, rows, right=("Rows", "Size"))
    out.show_drifts(survey.plans)
    for kept, tables in _kept(survey.plans).items():
        others = f" and {len(tables) - SHOWN:,} more" if len(tables) > SHOWN else ""
        click.echo(f"kept beyond version {survey.head}: {kept} in {', '.join(tables[:SHOWN])}{others}")
    out.say(f"\n{out.summary(plan.status.value for plan in survey.plans)}. The newest version is {survey.head}.")


def _kept(plans: Iterable[Plan]) -> dict[str, list[str]]:
    """What is kept, and the tables that keep it."""
    from storage_admin.changes import ExtraColumn

    found: dict[str, list[str]] = {}
    for plan in plans:
        for extra in plan.extras:
            name = (
                f"column {extra.column.name}"
                if isinstance(extra, ExtraColumn)
                else f"index on {', '.join(extra.columns)}"
            )
            found.setdefault(f"{name} (retired)" if extra.retired else name, []).append(str(plan.table))
    return found
