"""storage-admin check."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from storage_admin.cli import completing
from storage_admin.cli.options import (
    catalog,
    database_options,
    lock_file_option,
    lock_path,
    open_admin,
    tables_argument,
)
from storage_admin.cli.settings import CI_OUTPUTS, OUTPUTS, STATES, Output
from storage_admin.cli.talk import voice
from storage_admin.cli.targets import OverTargets
from storage_admin.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from storage_admin.catalog import Catalog
    from storage_admin.changes import Plan
    from storage_admin.lockfile import LockFile
    from storage_admin.reports import Survey

    Look = tuple[Survey, Catalog, LockFile | None]

EXIT_CODES = {"current": 0, "outdated": 2, "drifted": 3, "ahead": 4}


def _states(_ctx: click.Context, _param: click.Parameter, value: str) -> tuple[str, ...]:
    named = tuple(dict.fromkeys(word.strip() for word in value.split(",")))
    if named == ("none",):
        return ()
    if unknown := [word for word in named if word not in STATES]:
        from storage_admin.texts import did_you_mean

        hint = did_you_mean(unknown[0], STATES)
        raise click.BadParameter(f"{unknown[0]!r} is no state. There are: {', '.join(STATES)}, or none.{hint}")
    return named


@click.command("check", cls=OverTargets)
@tables_argument
@database_options
@click.option(
    "--against",
    type=click.Choice(["database", "offline"]),
    default="database",
    show_default=True,
    help="What to compare: the database, or, without it, the tables in the lock file, with the SQL of what is new.",
)
@lock_file_option
@click.option(
    "--fail-on",
    default=",".join(STATES),
    show_default=True,
    metavar="STATES",
    callback=_states,
    shell_complete=completing.states,
    help="Which states fail the check, or none of them; any other is shown and exits with 0.",
)
@click.option(
    "--annotate",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="With github, junit, sarif: the file to point at, where it names the table.",
)
@click.option(
    "-o",
    "--output",
    cls=Output,
    type=click.Choice(OUTPUTS),
    default="table",
    help="How to show the result; github, junit and sarif are for CI services.",
)
def command(
    tables: tuple[str, ...],
    db_url: str | None,
    schema: str | None,
    against: str,
    lock_file: str | None,
    fail_on: tuple[str, ...],
    annotate: str | None,
    output: str,
) -> int:
    """Say with the exit code whether all tables are current.

    0 yes, 2 changes are pending, 3 drift, 4 ahead.

    docs/ci.md shows how to use it in GitHub, GitLab and pre-commit, with a database and without one.
    """
    from storage_admin.cli import output as out
    from storage_admin.cli.ci.results import exit_code

    if against == "offline" and db_url is not None:
        raise click.UsageError("--against offline needs no database; leave out --db-url.")
    offline, live = partial(_offline, tables, lock_file, schema), partial(_live, tables, db_url, schema)
    look: Callable[[], Look] = offline if against == "offline" else live
    if output in CI_OUTPUTS:
        survey = _for_ci(output, fail_on, annotate, look)
    else:
        survey, versions, lock = look()
        _show(survey, versions, output, sql=lock is not None)
    out.show_notes(survey.notes)
    out.say(out.summary(plan.status.value for plan in survey.plans))
    code = exit_code(survey, fail_on)
    if code < exit_code(survey, STATES):
        some = f"Not all of it fails this check: --fail-on {','.join(fail_on)}"
        out.say(some if fail_on else "Nothing of it fails this check: --fail-on none")
    return code


def _live(tables: tuple[str, ...], db_url: str | None, schema: str | None) -> Look:
    admin = open_admin(db_url, schema)
    return admin.check(tables or None), admin.catalog, None


def _offline(tables: tuple[str, ...], lock_file: str | None, schema: str | None) -> Look:
    from storage_admin.lockfile import read_lock, survey_lock
    from storage_admin.naming import parse_table

    path, versions = lock_path(lock_file), catalog()
    lock = read_lock(path)
    refs = [parse_table(table, versions) for table in tables] or None
    return survey_lock(lock, versions, str(path), refs, schema), versions, lock


def _for_ci(output: str, fail_on: tuple[str, ...], annotate: str | None, look: Callable[[], Look]) -> Survey:
    from importlib import import_module
    from pathlib import Path

    from storage_admin.cli.ci import places
    from storage_admin.cli.ci.results import results
    from storage_admin.errors import StorageAdminError

    form: Any = import_module(f"storage_admin.cli.ci.{output}")
    try:
        survey, versions, lock = look()
    except StorageAdminError as error:
        form.failed(voice.redacted(str(error)))
        raise
    if annotate is not None:
        place = places.in_file(Path(annotate))
    else:
        place = places.in_lock(lock, Path(survey.database.url)) if lock is not None else places.in_usual_files()
    form.show(survey, list(results(survey, versions, fail_on, place)))
    return survey


def _show(survey: Survey, versions: Catalog, output: str, *, sql: bool) -> None:
    from storage_admin.changes import Status
    from storage_admin.cli import output as out
    from storage_admin.cli.documents import survey_document

    if output != "table":
        statements = _statements(survey) if sql else None
        out.emit(survey_document(survey, versions, statements=statements), output)
    elif survey.status is not Status.CURRENT:
        rows = [
            (
                str(p.table),
                ", ".join(p.kinds),
                out.version_text(p, versions),
                out.status_text(p.status.value),
                out.pending_text(p),
            )
            for p in survey.plans
            if p.status is not Status.CURRENT
        ]
        out.show_table(("Table", "Kinds", "Version", "Status", "To do"), rows)
        out.show_drifts(survey.plans)
        if sql:
            _show_sql(survey)


def _statements(survey: Survey) -> dict[Plan, tuple[str, ...]]:
    if not any(plan.runnable for plan in survey.plans):
        return {}
    from storage_admin.render import render

    return {plan: render(plan, survey.database.record) for plan in survey.plans if plan.runnable}


def _show_sql(survey: Survey) -> None:
    from storage_admin.render import script

    if text := script(survey.plans, survey.database.record, f"storage-admin {__version__}: from {survey.database.url}"):
        click.echo(f"\n{text}", nl=False)
