"""storage-admin plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from storage_admin.cli import completing
from storage_admin.cli.check import EXIT_CODES
from storage_admin.cli.options import (
    catalog,
    database_options,
    open_admin,
    output_option,
    tables_argument,
    to_option,
    typed,
)
from storage_admin.cli.targets import OverTargets
from storage_admin.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable

    from storage_admin.admin import StorageAdmin
    from storage_admin.changes import Plan
    from storage_admin.dialects import Dialect
    from storage_admin.reports import Survey


@click.command("plan", cls=OverTargets)
@tables_argument
@database_options
@to_option
@click.option("--sql", is_flag=True, help="Print a SQL script and nothing else: one transaction per table.")
@click.option(
    "--dialect",
    metavar="D",
    shell_complete=completing.dialects,
    help="With --sql: no database, but postgresql, sqlite, mysql or mysql-5.7.",
)
@click.option("--from", "from_", type=int, metavar="N", help="With --dialect: the version to start at; 0 creates.")
@click.option(
    "--layout",
    type=click.Choice(["flyway", "liquibase", "dbmate"]),
    help="With --sql: not one script, but files as this tool runs them.",
)
@click.option("--into", metavar="DIR", help="With --layout: the folder to write them into, where none is overwritten.")
@output_option
def command(
    tables: tuple[str, ...],
    db_url: str | None,
    schema: str | None,
    to: int | None,
    sql: bool,
    dialect: str | None,
    from_: int | None,
    layout: str | None,
    into: str | None,
    output: str,
) -> int:
    """Show the statements that upgrade would run.

    Exactly those, on this database. Changes nothing.

    With --sql --dialect D --from N --to M TABLE=KIND it needs no database at all. With --sql --layout flyway --into DIR
    it writes migrations of Flyway (or Liquibase, or dbmate) and prints their names.
    """
    if (layout is None) != (into is None) or (layout and not sql):
        raise click.UsageError("--layout goes with --sql and --into DIR, and --into with --layout.")
    if dialect is not None:
        if not sql or db_url is not None or not tables:
            raise click.UsageError("--dialect goes with --sql and TABLE=KIND, and without --db-url.")
        if to is not None and to < (from_ or 0):
            raise click.UsageError("--to lies before --from, and nothing is ever taken back.")
        # The schema of the file is that of its database.
        return _offline(tables, dialect, (from_ or 0, to), schema if typed("schema") else None, layout, into)
    if from_ is not None:
        raise click.UsageError("--from goes with --sql --dialect; on a database the shape of the table says it.")
    if sql and output != "table" and typed("output"):
        raise click.UsageError("--sql prints SQL; leave out -o.")
    admin = open_admin(db_url, schema)
    survey = admin.plan(tables or None, to=to)
    if layout and into:
        _write(survey.plans, survey.database.record, header(survey), layout, into)
        talk(survey)
    else:
        show(admin, survey, output="sql" if sql else output)
    return exit_code(survey)


def exit_code(survey: Survey) -> int:
    """Pending changes are what a plan is for; only what it cannot plan is worth a code."""
    return 0 if survey.status.value == "outdated" else EXIT_CODES[survey.status.value]


def show(admin: StorageAdmin, survey: Survey, *, output: str) -> None:
    """Print the plans of a survey as text, SQL, JSON or YAML."""
    from storage_admin.cli import output as out
    from storage_admin.cli.documents import survey_document
    from storage_admin.render import render, script

    dialect = survey.database.record
    if output == "sql":
        text = f"{header(survey)}; not to be used on another database"
        click.echo(script(survey.plans, dialect, text), nl=False)
    elif output == "table":
        for plan in survey.plans:
            if plan.runnable:
                click.echo(
                    f"{click.style(str(plan.table), bold=True)} ({', '.join(plan.kinds)}): "
                    f"version {out.version_text(plan, admin.catalog)}"
                    + ("" if plan.beyond_repair else f" -> {plan.target_version}")
                )
                click.echo("".join(f"  {line}\n" for s in render(plan, dialect) for line in f"{s};".splitlines()))
    else:
        statements = {plan: render(plan, dialect) for plan in survey.plans if plan.runnable}
        out.emit(survey_document(survey, admin.catalog, statements=statements), output)
    talk(survey, remark=dialect.remark if output == "table" else "")


def header(survey: Survey) -> str:
    """What made a script, and for which database."""
    return f"storage-admin {__version__}: computed for {survey.database.url}"


def talk(survey: Survey, *, remark: str = "") -> None:
    """Say what is worth a reader's while about a plan: what it leaves alone, and why."""
    from storage_admin.cli import output as out

    for plan in survey.plans:
        if plan.status.value in ("drifted", "ahead"):
            why = "; ".join(map(str, plan.drifts)) or out.pending_text(plan)
            out.say(f"{plan.table} is {out.status_text(plan.status.value)} and will not be touched: {why}")
    if remark and any(plan.runnable for plan in survey.plans):
        out.say(remark)
    out.show_notes(survey.notes)
    out.say(out.summary(plan.status.value for plan in survey.plans))


def _write(plans: Iterable[Plan], dialect: Dialect, text: str, layout: str, into: str) -> None:
    from datetime import datetime, timezone
    from pathlib import Path

    from storage_admin.cli.output import show_files
    from storage_admin.layouts import write
    from storage_admin.render import steps

    now = datetime.now(timezone.utc)
    show_files(write(Path(into), layout, steps(plans, dialect), dialect, text, now))


def _offline(
    tables: tuple[str, ...],
    dialect: str,
    versions: tuple[int, int | None],
    schema: str | None,
    layout: str | None,
    into: str | None,
) -> int:
    from storage_admin.compare import plan_between
    from storage_admin.dialects import dialect_named
    from storage_admin.discovery import check_schema
    from storage_admin.errors import KindNeeded
    from storage_admin.naming import TableRef, parse_table
    from storage_admin.render import script
    from storage_admin.schema import TableName

    known, record, (start, to) = catalog(), dialect_named(dialect), versions
    plans = []
    for text in tables:
        ref = parse_table(text, known)
        check_schema(TableRef(ref.name, ref.schema or schema), record)
        if not ref.kinds:
            raise KindNeeded(table=ref, reason="is planned without a database", kinds="KIND")
        name = TableName((ref.schema or schema or record.default_schema) if record.has_schemas else None, ref.name)
        plans.append(plan_between(name, ref.kinds, known, record, start=start, to=to))
    text = f"storage-admin {__version__}: from version {start} to {to or known.head}, {record.title}"
    if layout and into:
        _write(plans, record, text, layout, into)
    else:
        click.echo(script(plans, record, text), nl=False)
    return 0
